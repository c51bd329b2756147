"""series (M15): 1-D convolutions over a time series; trained on normal ones, it finds the others.

What the model has not learnt to draw it draws wrongly, so the squared error of a series is its
score, and that of each step says where. Data: heartbeats made here; --data takes a UCR file.
"""

from minae.datasets import SeriesSet as Data
from minae.layers import Conv1d, ConvTranspose1d, Dense, Flatten, Reshape, Sequential
from minae.losses import MSE
from minae.models import SeriesAutoencoder
from minae.models.series import standard_range
from minae.optim import Adam
from minae.recipes.recipe import Recipe

__all__ = ["Data", "recipe"]


def recipe(latent: int = 8, length: int = 140, mean: float = 0.0, std: float = 1.0) -> Recipe:
    half = -(-length // 2)
    quarter = -(-half // 2)
    model = SeriesAutoencoder(
        input_shape=(1, length),
        encoder=Sequential(  # 140 → 70 → 35
            Conv1d(1, 16, 7, stride=2, padding=3, activation="relu"),
            Conv1d(16, 32, 5, stride=2, padding=2, activation="relu"),
            Flatten(),
            Dense(32 * quarter, latent),
        ),
        decoder=Sequential(  # 35 → 70 → 140
            Dense(latent, 32 * quarter, activation="relu"),
            Reshape((32, quarter)),
            ConvTranspose1d(
                32, 16, 5, stride=2, padding=2, output_padding=1 - half % 2, activation="relu"
            ),
            ConvTranspose1d(16, 1, 7, stride=2, padding=3, output_padding=1 - length % 2),
        ),
        loss=MSE(reduction="mean"),
        pixel_range=standard_range(mean, std),
    )
    return Recipe(model, Adam(lr=2e-3), batch_size=32, epochs=60)
