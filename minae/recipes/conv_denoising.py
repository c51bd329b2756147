"""conv-denoising (M15): a convolutional autoencoder that fills in half of the pixels.

The code keeps a 7×7 grid of 32 channels: unlike a compressing autoencoder, one that repairs images
has no need to forget where things are. A dropped pixel is 0 in [-1, 1]; see the recipe denoising.
"""

from minae.layers import Conv2d, ConvTranspose2d, MaskingNoise, Sequential
from minae.losses import MSE
from minae.models import DenoisingAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe() -> Recipe:
    model = DenoisingAutoencoder(
        input_shape=(1, 28, 28),
        encoder=Sequential(  # 28 → 14 → 7
            Conv2d(1, 16, 4, stride=2, padding=1, activation="relu"),
            Conv2d(16, 32, 4, stride=2, padding=1, activation="relu"),
        ),
        decoder=Sequential(  # 7 → 14 → 28
            ConvTranspose2d(32, 16, 4, stride=2, padding=1, activation="relu"),
            ConvTranspose2d(16, 1, 4, stride=2, padding=1, activation="tanh"),
        ),
        loss=MSE(reduction="mean"),
        pixel_range=(-1.0, 1.0),
        noise=MaskingNoise(p=0.5),
    )
    return Recipe(model, Adam(lr=2e-3), batch_size=128, epochs=10)
