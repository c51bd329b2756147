"""tanh (M7): 784-30-784, tanh throughout, grey values in [-1, 1], mean squared error.

The squared error is taken in [-1, 1], where it is four times that of [0, 1]; the ledger's figures
are in [0, 1] as everywhere.
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 30) -> Recipe:
    model = Autoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="tanh"),
        decoder=Dense(latent, 784, activation="tanh"),
        loss=MSE(reduction="mean"),
        pixel_range=(-1.0, 1.0),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)
