"""dropout (M12): 784-256-784 with a quarter of the input and half of the code dropped in training.

Dropout divides what it keeps by the share kept, so that the mean stays; outside training it does
nothing. No code number can rely on another: each must be of use alone.
"""

from minae.layers import Dense, Dropout, Sequential
from minae.losses import BCEWithLogits
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 256) -> Recipe:
    model = Autoencoder(
        input_shape=(784,),
        encoder=Sequential(
            Dropout(0.25),
            Dense(784, latent, activation="relu"),
            Dropout(0.5, number=1),
        ),
        decoder=Dense(latent, 784),  # its sigmoid is part of the loss
        loss=BCEWithLogits(reduction="mean"),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)
