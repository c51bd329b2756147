"""denoising (M8): 784-500-784, tanh, half of the pixels dropped from the input, clean target.

The source page draws its mask as dropout(ones), which is 0 or 2: it doubles the pixels that it
keeps. Here the mask is 0 or 1. Pixels lie in [-1, 1], a dropped one becomes 0, as on the page. The
loss is the mean squared error in [-1, 1], four times that of [0, 1].
"""

from minae.layers import Dense, MaskingNoise
from minae.losses import MSE
from minae.models import DenoisingAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 500) -> Recipe:
    model = DenoisingAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="tanh"),
        decoder=Dense(latent, 784, activation="tanh"),
        loss=MSE(reduction="mean"),
        pixel_range=(-1.0, 1.0),
        noise=MaskingNoise(p=0.5),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)
