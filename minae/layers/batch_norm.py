"""Batch normalization. Derivation: reference/batch_norm.py."""

from dataclasses import dataclass, field
from typing import ClassVar

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.init import Ones, Zeros
from minae.layers.layer import Batch, Cache, Layer, Parameter, Shape, expect


@dataclass(eq=False)
class _BatchNorm(Layer):
    """y = gamma (x - mean) / √(var + eps) + beta, per channel (Ioffe and Szegedy 2015).

    In training the statistics are the batch's (the variance is divided by M in y, and by M - 1 in
    the running average, as in PyTorch); otherwise they are the running averages, and backward is
    refused. gamma, beta, running_mean, running_var: (num_features,). Kept for backward: x, the
    batch's mean and 1/√(var + eps).
    """

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1

    ranks: ClassVar[tuple[int, ...]]
    gamma: Array = field(init=False, repr=False)
    dgamma: Array = field(init=False, repr=False)
    beta: Array = field(init=False, repr=False)
    dbeta: Array = field(init=False, repr=False)
    running_mean: Array = field(init=False, repr=False)
    running_var: Array = field(init=False, repr=False)

    def parameters(self) -> dict[str, Parameter]:
        C = (self.num_features,)
        return {"gamma": Parameter(C, Ones()), "beta": Parameter(C, Zeros())}

    def statistics(self) -> dict[str, Parameter]:
        C = (self.num_features,)
        return {"running_mean": Parameter(C, Zeros()), "running_var": Parameter(C, Ones())}

    def output_shape(self, x_shape: Shape) -> Shape:
        if len(x_shape) not in self.ranks or x_shape[1] != self.num_features:
            wanted = " or ".join(
                {2: "(N, C)", 3: "(N, C, W)", 4: "(N, C, H, W)"}[r] for r in self.ranks
            )
            raise MinaeError(
                f"{type(self).__name__}({self.num_features}) wants inputs of shape {wanted} with "
                f"C = {self.num_features}, found {x_shape}"
            )
        return x_shape

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        samples = 1
        for size in (x_shape[0], *x_shape[2:]):
            samples *= size
        if cache.batch.training and samples < 2:
            raise MinaeError(
                f"{type(self).__name__}: the variance of a batch needs more than one value a "
                f"channel, found inputs of shape {x_shape}"
            )
        cache.dx = self.empty(x_shape)  # also the scratch of dgamma and dbeta
        cache.needs_dx = needs_dx
        cache.y = self.empty(x_shape)
        cache.mean = self.empty((self.num_features,))
        cache.inv_std = self.empty((self.num_features,))
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        cache.x = x
        x, y = _rows(x), _rows(cache.y)
        if cache.batch.training:
            self.ops.batch_norm_forward(
                x,
                self.gamma,
                self.beta,
                self.running_mean,
                self.running_var,
                self.momentum,
                self.eps,
                out=y,
                mean=cache.mean,
                inv_std=cache.inv_std,
            )
        else:
            self.ops.batch_norm_inference(
                x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps, out=y
            )
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if not cache.batch.training:
            raise MinaeError(f"{type(self).__name__}: backward needs a forward in training mode")
        self.ops.batch_norm_backward(
            _rows(dy),
            _rows(cache.x),
            self.gamma,
            cache.mean,
            cache.inv_std,
            dx=_rows(cache.dx),
            dgamma=self.dgamma,
            dbeta=self.dbeta,
        )
        return cache.dx if cache.needs_dx else None


def _rows(x: Array) -> Array:
    """(N, C, W) seen as (N, C, 1, W); other ranks are what the operations take."""
    return x[:, :, None, :] if x.ndim == 3 else x


@dataclass(eq=False)
class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, W)."""

    ranks: ClassVar[tuple[int, ...]] = (2, 3)


@dataclass(eq=False)
class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W)."""

    ranks: ClassVar[tuple[int, ...]] = (4,)
