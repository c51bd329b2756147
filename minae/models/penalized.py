"""Autoencoders whose loss is the reconstruction's and a penalty on the code."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minae.errors import MinaeError
from minae.layers.layer import Cache
from minae.models.autoencoder import Autoencoder


@dataclass(eq=False)
class PenalizedAutoencoder(Autoencoder):
    """loss = reconstruction + weight · penalty, the penalty a mean over the samples of the batch
    (a sum where the loss's reduction is "sum").

    A kind of penalty writes its `penalize`: the value, and its gradient by z into `dz_penalty`.
    """

    parts = ("loss", "reconstruction", "penalty")

    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight >= 0:
            raise MinaeError(f"the weight of a penalty must be 0 or greater, found {self.weight}")

    def penalty_scale(self, cache: Cache) -> float:
        """What the penalty's sum over samples is multiplied by."""
        return self.weight / (1 if self.loss.reduction == "sum" else cache.x_shape[0])

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        z_shape, dtype = cache.encoder.y_shape, self.parameters.dtype
        cache.dz_penalty = self.ops.empty(z_shape, dtype) if training else None
        return cache

    def forward(self, cache: Cache) -> None:
        ops, values = self.ops, cache.values
        self.run(cache, cache.x)
        self.loss(ops, cache.y, cache.x, value=values["reconstruction"], dy=cache.dy)
        self.penalize(cache)
        ops.add(values["reconstruction"], values["penalty"], out=values["loss"])

    def penalize(self, cache: Cache) -> None:
        """cache.values["penalty"] and, in training, its gradients."""
        raise NotImplementedError

    def backward(self, cache: Cache) -> None:
        dz = self.decoder.backward(cache.dy, cache.decoder)
        assert dz is not None
        self.ops.add(dz, cache.dz_penalty, out=dz)
        self.encoder.backward(dz, cache.encoder)


@dataclass(eq=False)
class SparseAutoencoder(PenalizedAutoencoder):
    """Penalty Σ_j |z_j|: most code numbers of an image are driven to 0 (with ReLU, exactly 0)."""

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        cache.zero = self.ops.zeros(cache.encoder.y_shape, self.parameters.dtype)
        return cache

    def penalize(self, cache: Cache) -> None:
        scale = self.penalty_scale(cache)
        value = cache.values["penalty"]
        self.ops.l1(cache.z, cache.zero, scale, value=value, dy=cache.dz_penalty)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures, and the share of code numbers that are not 0 to three decimals."""
        active = float(np.mean(np.abs(self.encode(images)) > 1e-3))
        return super().evaluate(images) | {"active_share": active}
