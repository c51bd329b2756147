"""music (M15): a convolutional VAE of piano rolls; draws two bars of 24 pitches by 32 steps.

Each place of the roll is a Bernoulli pixel: a note sounds there or not. Data: melodies made here
(minae.datasets.melodies); --data takes .npy or .npz rolls.
"""

from minae.datasets import RollSet as Data
from minae.layers import Conv2d, ConvTranspose2d, Dense, Flatten, Reshape, Sequential
from minae.losses import BCEWithLogits
from minae.models import VariationalAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe

__all__ = ["Data", "recipe"]


def recipe(latent: int = 24) -> Recipe:
    model = VariationalAutoencoder(
        input_shape=(1, 24, 32),
        latent=latent,
        encoder=Sequential(  # 24×32 → 12×16 → 6×8
            Conv2d(1, 32, 4, stride=2, padding=1, activation="relu"),
            Conv2d(32, 32, 4, stride=2, padding=1, activation="relu"),
            Flatten(),
            Dense(32 * 6 * 8, 2 * latent),  # mean and log-variance
        ),
        decoder=Sequential(  # 6×8 → 12×16 → 24×32
            Dense(latent, 32 * 6 * 8, activation="relu"),
            Reshape((32, 6, 8)),
            ConvTranspose2d(32, 32, 4, stride=2, padding=1, activation="relu"),
            ConvTranspose2d(32, 1, 4, stride=2, padding=1),  # its sigmoid is in the loss
        ),
        loss=BCEWithLogits(reduction="image"),
    )
    return Recipe(model, Adam(lr=2e-3), batch_size=64, epochs=30)
