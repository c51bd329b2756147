"""cvae (M3): conditional convolutional VAE; draws the digit you ask for, in 50 numbers of style.

The source page applies leaky ReLU after the last transposed convolution, before the sigmoid: a
pixel of 0.01 then needs a pre-activation of -460. The corrected decoder, the default, leaves it
out; `--faithful` keeps it. The page also initialises the encoder layer twice and the decoder
layer never, and calls PyTorch's default Xavier; here all layers have PyTorch's default.
"""

from minae.layers import (
    ConditionalConv2d,
    ConditionalDense,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    Reshape,
    Sequential,
)
from minae.losses import BCEWithLogits
from minae.models import ConditionalVAE
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 50, classes: int = 10, faithful: bool = False) -> Recipe:
    last = "leaky_relu" if faithful else "identity"
    model = ConditionalVAE(
        input_shape=(1, 28, 28),
        latent=latent,
        classes=classes,
        encoder=Sequential(  # 28 → 12 → 5 → 2
            ConditionalConv2d(1, 16, 6, stride=2, activation="leaky_relu", classes=classes),
            Conv2d(16, 32, 4, stride=2, activation="leaky_relu"),
            Conv2d(32, 64, 2, stride=2, activation="leaky_relu"),
            Flatten(),
            Dense(256, 2 * latent),  # mean and log-variance
        ),
        decoder=Sequential(  # 2 → 4 → 11 → 28
            ConditionalDense(latent, 256, activation="leaky_relu", classes=classes),
            Reshape((64, 2, 2)),
            ConvTranspose2d(64, 32, 2, stride=2, activation="leaky_relu"),
            ConvTranspose2d(32, 16, 4, stride=3, padding=1, activation="leaky_relu"),
            ConvTranspose2d(16, 1, 6, stride=3, padding=4, activation=last),
        ),
        loss=BCEWithLogits(reduction="sum"),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=128, epochs=50)
