"""The variational autoencoder of records, which says which of their features are strange."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.datasets.encoding import Encoding
from minae.errors import MinaeError
from minae.layers.layer import Cache
from minae.losses import MixedLoss
from minae.models.variational import VariationalAutoencoder


@dataclass(eq=False, kw_only=True)
class RecordVAE(VariationalAutoencoder):
    """A VariationalAutoencoder of records encoded by `encoding`, with a MixedLoss that fits it."""

    encoding: Encoding

    bounded: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        numeric, groups = len(self.encoding.numeric), self.encoding.groups
        loss = self.loss
        if not isinstance(loss, MixedLoss) or (loss.numeric, loss.groups) != (numeric, groups):
            raise MinaeError(
                f"the loss must be MixedLoss(numeric={numeric}, groups={groups}) as the encoding "
                f"is, found {loss}"
            )

    def errors(self, records: npt.ArrayLike) -> Array:
        """What each number of each encoded record adds to its score, in nats, (M, D): ½ (y - x)² of
        a number, -x log p of a word, y and p decoded from the mean code."""

        def nats(cache: Cache) -> Array:
            self.encode_batch(cache)
            y = self.decoder.forward(cache.mean, cache.decoder)  # (N, D)
            x = self.ops.to_numpy(cache.x)
            self.to_pixels(y, cache.x)
            p = self.ops.to_numpy(cache.x)
            n = len(self.encoding.numeric)
            words = -x[:, n:] * np.log(np.maximum(p[:, n:], 1e-30))
            return np.concatenate([0.5 * np.square(p[:, :n] - x[:, :n]), words], axis=1)

        return self.collect_host(nats, records)

    def score(self, records: npt.ArrayLike) -> Array:
        """The sum of the errors of each record, nats, (M,): large where it is unlike the training.

        The divergence of its code from the prior is left out: with it, records that are only rare
        score as high as those that cannot be decoded.
        """
        return self.errors(records).sum(axis=1, dtype=np.float64)  # type: ignore[no-any-return]

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The loss and its parts over all records, in nats a record, one draw of z for each."""
        totals, samples = dict.fromkeys(self.parts, 0.0), 0
        for _, cache in self.chunks(images):
            self.forward(cache)
            for name, value in cache.values.items():
                scale = self.loss.scale(cache.x_shape)
                totals[name] += float(self.ops.to_numpy(value)[0]) / scale
            samples += len(cache.pixels)
        kl = totals["kl"] / self.beta / samples
        reconstruction = totals["reconstruction"] / samples
        return {
            "reconstruction_nats": reconstruction,
            "kl_nats": kl,
            "nats_per_image": reconstruction + kl,
        }
