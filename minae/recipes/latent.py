"""latent (M14): 784-128-64-d-64-128-784, ReLU, linear code; how small may a code be?

The source page does not shuffle, reports the last batch of 96 images only, and never compares with
PCA. Here the samples are shuffled, the figures are over whole sets, and PCA stands beside them.
"""

from minae.layers import Dense, Sequential
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 2) -> Recipe:
    model = Autoencoder(
        input_shape=(784,),
        encoder=Sequential(
            Dense(784, 128, activation="relu"),
            Dense(128, 64, activation="relu"),
            Dense(64, latent),
        ),
        decoder=Sequential(
            Dense(latent, 64, activation="relu"),
            Dense(64, 128, activation="relu"),
            Dense(128, 784, activation="sigmoid"),
        ),
        loss=MSE(reduction="mean"),
    )
    return Recipe(model, Adam(lr=5e-3), batch_size=256, epochs=10, seed=42)
