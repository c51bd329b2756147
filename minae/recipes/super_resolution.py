"""super-resolution: a convolutional network that makes 28×28 of 14×14 (or, --factor 4, of 7×7).

The small image is the mean of each block of the large one. Beside the PSNR of the network stands
that of bicubic enlargement, which knows nothing of digits.
"""

from minae.errors import MinaeError
from minae.layers import Conv2d, ConvTranspose2d, Sequential
from minae.losses import BCEWithLogits
from minae.models import SuperResolution
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(factor: int = 2) -> Recipe:
    if factor not in (2, 4):
        raise MinaeError(f"the factor is 2 or 4, found {factor}: 28 pixels are made of 14 or 7")

    def double() -> ConvTranspose2d:
        return ConvTranspose2d(16, 16, 4, stride=2, padding=1, activation="relu")

    model = SuperResolution(
        input_shape=(1, 28, 28),
        factor=factor,
        encoder=Sequential(
            Conv2d(1, 16, 5, padding=2, activation="relu"),
            Conv2d(16, 16, 3, padding=1, activation="relu"),
        ),
        decoder=Sequential(  # 14 → 28, or 7 → 14 → 28
            *(double() for _ in range(factor // 2)),
            Conv2d(16, 1, 3, padding=1),  # its sigmoid is in the loss
        ),
        loss=BCEWithLogits(reduction="mean"),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=128, epochs=3)
