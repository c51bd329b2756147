"""conv (M5): strided convolutions down to a code of 32, transposed convolutions back up."""

from minae.layers import Conv2d, ConvTranspose2d, Dense, Flatten, Reshape, Sequential
from minae.losses import BCEWithLogits
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 32) -> Recipe:
    model = Autoencoder(
        input_shape=(1, 28, 28),
        encoder=Sequential(  # 28 → 14 → 7
            Conv2d(1, 16, 3, stride=2, padding=1, activation="relu"),
            Conv2d(16, 32, 3, stride=2, padding=1, activation="relu"),
            Flatten(),
            Dense(32 * 7 * 7, latent),
        ),
        decoder=Sequential(  # 7 → 14 → 28
            Dense(latent, 32 * 7 * 7, activation="relu"),
            Reshape((32, 7, 7)),
            ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1, activation="relu"),
            ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
        ),
        loss=BCEWithLogits(reduction="mean"),  # its sigmoid is the last activation
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=10)
