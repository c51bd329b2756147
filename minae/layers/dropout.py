"""Dropout. Derivation: reference/dropout.py."""

from dataclasses import dataclass

from minae import random
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Batch, Cache, Layer, Shape, expect


@dataclass(eq=False)
class Dropout(Layer):
    """In training y = x ⊙ mask / (1 - p), mask 0 with probability p; otherwise y = x.

    Any shape (N, ...). `number` tells the dropout layers of one network apart, so that each draws
    its own mask. Kept for backward: the mask.
    """

    p: float = 0.5
    number: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise MinaeError(f"Dropout: p must be in [0, 1), found {self.p}")

    def stream(self) -> int:
        return random.stream(random.DROPOUT, self.number)

    def output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(x_shape)
        cache.mask = self.drawn(x_shape)
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        if not cache.batch.training:
            return x
        batch = cache.batch
        self.ops.random_bernoulli(
            batch.seed,
            self.stream(),
            batch.step,
            batch.rows,
            1 - self.p,
            out=cache.mask.reshape(x.shape[0], -1),  # (N, D)
        )
        self.ops.dropout_forward(x, cache.mask, 1 - self.p, out=cache.y)
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is None:
            return None
        if cache.batch.training:
            self.ops.dropout_backward(dy, cache.mask, 1 - self.p, out=cache.dx)
        else:
            self.ops.copy(dy, out=cache.dx)
        return cache.dx  # type: ignore[no-any-return]
