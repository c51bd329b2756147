"""Noise on a layer's input, in training only: what a denoising autoencoder is to undo.

Unlike dropout, which keeps the mean by dividing what it keeps by 1 - p, masking leaves the kept
numbers as they are: the input is damaged, not rescaled.
"""

from dataclasses import dataclass
from math import log

import numpy as np

from minae import random
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Batch, Cache, Layer, Shape, expect


@dataclass(eq=False)
class _Noise(Layer):
    """Any shape (N, ...). `number`, a field of each kind, tells a network's noise layers apart."""

    number = 0

    def stream(self) -> int:
        return random.stream(random.NOISE, self.number)

    def output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(x_shape)
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        if not cache.batch.training:
            return x
        self.corrupt(x, cache)
        return cache.y  # type: ignore[no-any-return]

    def corrupt(self, x: Array, cache: Cache) -> None:
        """cache.y = x with noise of the batch's seed, step and samples."""
        raise NotImplementedError


@dataclass(eq=False)
class MaskingNoise(_Noise):
    """In training y = x ⊙ mask, mask 0 with probability p, else 1; otherwise y = x.

    (With dropout(ones) for a mask, as one course page has it, kept numbers come out doubled.)
    Kept for backward: the mask.
    """

    p: float = 0.5
    number: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise MinaeError(f"MaskingNoise: p must be in [0, 1), found {self.p}")

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.mask = self.drawn(x_shape)
        return cache

    def corrupt(self, x: Array, cache: Cache) -> None:
        batch = cache.batch
        self.ops.random_bernoulli(
            batch.seed,
            self.stream(),
            batch.step,
            batch.rows,
            1 - self.p,
            out=cache.mask.reshape(x.shape[0], -1),  # (N, D)
        )
        self.ops.dropout_forward(x, cache.mask, 1.0, out=cache.y)

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is None:
            return None
        if cache.batch.training:
            self.ops.dropout_backward(dy, cache.mask, 1.0, out=cache.dx)
        else:
            self.ops.copy(dy, out=cache.dx)
        return cache.dx  # type: ignore[no-any-return]


@dataclass(eq=False)
class GaussianNoise(_Noise):
    """In training y = x + std · eps, eps ~ N(0, 1); otherwise y = x. dx = dy: nothing is kept."""

    std: float = 0.5
    number: int = 0

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise MinaeError(f"GaussianNoise: std must be greater than 0, found {self.std}")

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        rows = (x_shape[0], int(np.prod(x_shape[1:])))
        cache.eps = self.drawn(rows)
        cache.log_var = self.ops.asarray(np.full(rows, 2 * log(self.std)), self.dtype)
        return cache

    def corrupt(self, x: Array, cache: Cache) -> None:
        batch = cache.batch
        self.ops.random_normal(batch.seed, self.stream(), batch.step, batch.rows, out=cache.eps)
        rows = cache.eps.shape  # (N, D)
        self.ops.reparameterize_forward(
            x.reshape(rows), cache.log_var, cache.eps, out=cache.y.reshape(rows)
        )

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is not None:
            self.ops.copy(dy, out=cache.dx)
        return cache.dx  # type: ignore[no-any-return]
