"""contractive (M9): the recipe tanh, 784-30-784, with a penalty on the Jacobian of its code.

loss = mean squared error in [-1, 1] + weight · mean of ‖∂z/∂x‖²_F over the images of a batch (Rifai
et al. 2011), its exact gradient by hand: reference/contractive.py. To be compared with the recipe
tanh: a Jacobian several times smaller at nearly the same error. (The decoder is not tied, so some
of this is mere scaling, code numbers kept small; the rest is directions the code has become deaf
to.)
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import ContractiveAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 30) -> Recipe:
    model = ContractiveAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="tanh"),
        decoder=Dense(latent, 784, activation="tanh"),
        loss=MSE(reduction="mean"),
        pixel_range=(-1.0, 1.0),
        weight=1e-2,
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)
