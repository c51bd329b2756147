"""The autoencoder of time series, which scores each series and each of its steps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.layers.layer import Cache
from minae.models.autoencoder import Autoencoder


@dataclass(eq=False)
class SeriesAutoencoder(Autoencoder):
    """An Autoencoder of series (C, T) in their own units: any finite numbers.

    pixel_range says how they are standardized, see `standard_range`. Errors are in squared standard
    deviations, so that 1 is what the mean of all training values would leave.
    """

    bounded: ClassVar[bool] = False

    def errors(self, series: npt.ArrayLike) -> Array:
        """(y - x)² of each step of each series, (M, C·T)."""

        def squared_error(cache: Cache) -> Array:
            self.forward(cache)
            squares: Array = np.square(self.ops.to_numpy(cache.y) - self.ops.to_numpy(cache.x))
            return squares

        return self.collect_host(squared_error, series)

    def score(self, series: npt.ArrayLike) -> Array:
        """The mean of the errors of each series, (M,): large where it is unlike the training."""
        return self.errors(series).mean(axis=1, dtype=np.float64)  # type: ignore[no-any-return]

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """Mean squared error of all values, in squared standard deviations."""
        return {"mse_per_value": float(self.score(images).mean())}


def standard_range(mean: float, std: float) -> tuple[float, float]:
    """What 0 and 1 become when the mean is subtracted and the deviation divided by."""
    return -mean / std, (1 - mean) / std
