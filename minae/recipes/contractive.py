"""contractive (M9): the recipe tanh, 784-30-784, with a penalty on the Jacobian of its code.

loss = mean squared error in [-1, 1] + weight · mean of ‖∂z/∂x‖²_F over the images of a batch (Rifai
et al. 2011), its exact gradient by hand: reference/contractive.py. To be compared with the recipe
tanh trained as long: a Jacobian five times smaller at the same error. (The decoder is not tied, so
part of this is scale, small code numbers and large decoder weights, which take many epochs to grow;
the rest is directions that the code has become deaf to.)
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import ContractiveAutoencoder
from minae.optim import Adam, Cosine
from minae.recipes.recipe import Recipe

EPOCHS, BATCH_SIZE, SAMPLES = 300, 256, 60_000


def recipe(latent: int = 30) -> Recipe:
    model = ContractiveAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="tanh"),
        decoder=Dense(latent, 784, activation="tanh"),
        loss=MSE(reduction="mean"),
        pixel_range=(-1.0, 1.0),
        weight=5e-2,
    )
    fall = Cosine(EPOCHS * SAMPLES // BATCH_SIZE)
    return Recipe(model, Adam(lr=1e-3, schedule=fall), batch_size=BATCH_SIZE, epochs=EPOCHS)
