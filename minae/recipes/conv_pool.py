"""conv-pool (M5): convolution and max-pooling to a code of 32, nearest-neighbour upsampling back.

The second of the two ways: the recipe conv skips pixels with strides where this one keeps the
largest of four, and puts them back with transposed convolutions where this one repeats them.
"""

from minae.layers import Conv2d, Dense, Flatten, MaxPool2d, Reshape, Sequential, Upsample2d
from minae.losses import BCEWithLogits
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 32) -> Recipe:
    model = Autoencoder(
        input_shape=(1, 28, 28),
        encoder=Sequential(  # 28 → 14 → 7
            Conv2d(1, 8, 3, padding=1, activation="relu"),
            MaxPool2d(2),
            Conv2d(8, 16, 3, padding=1, activation="relu"),
            MaxPool2d(2),
            Flatten(),
            Dense(16 * 7 * 7, latent),
        ),
        decoder=Sequential(  # 7 → 14 → 28
            Dense(latent, 16 * 7 * 7, activation="relu"),
            Reshape((16, 7, 7)),
            Upsample2d(2),
            Conv2d(16, 8, 3, padding=1, activation="relu"),
            Upsample2d(2),
            Conv2d(8, 1, 3, padding=1),  # its sigmoid is part of the loss
        ),
        loss=BCEWithLogits(reduction="mean"),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=10)
