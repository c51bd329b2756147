"""levels (M15): a convolutional VAE of tile maps; draws new game levels of 16×16 tiles.

Each tile is a softmax over its kinds, and a drawn map is the likeliest kind of every tile: what is
rare and may stand anywhere, such as an enemy, is seldom the likeliest and is drawn too rarely.
Data: levels made here (minae.datasets.levels); --data takes a text file of maps.
"""

from minae.datasets import LevelSet as Data
from minae.datasets.levels import KINDS
from minae.layers import Conv2d, ConvTranspose2d, Dense, Flatten, Reshape, Sequential
from minae.losses import MixedLoss
from minae.models import VariationalAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe

__all__ = ["Data", "recipe"]


def recipe(latent: int = 24) -> Recipe:
    K = len(KINDS)
    model = VariationalAutoencoder(
        input_shape=(K, 16, 16),
        latent=latent,
        encoder=Sequential(  # 16 → 8 → 4
            Conv2d(K, 32, 4, stride=2, padding=1, activation="relu"),
            Conv2d(32, 32, 4, stride=2, padding=1, activation="relu"),
            Flatten(),
            Dense(32 * 4 * 4, 2 * latent),  # mean and log-variance
        ),
        decoder=Sequential(  # 4 → 8 → 16
            Dense(latent, 32 * 4 * 4, activation="relu"),
            Reshape((32, 4, 4)),
            ConvTranspose2d(32, 32, 4, stride=2, padding=1, activation="relu"),
            ConvTranspose2d(32, K, 4, stride=2, padding=1),  # logits of the kinds
        ),
        loss=MixedLoss(groups=(K,)),
    )
    return Recipe(model, Adam(lr=2e-3), batch_size=64, epochs=40)
