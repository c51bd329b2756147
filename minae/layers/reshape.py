"""Layers that only look at the same numbers in another shape."""

from dataclasses import dataclass
from math import prod

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Batch, Cache, Layer, Shape, expect


@dataclass(eq=False)
class Reshape(Layer):
    """y = x seen as (N, *shape). y is a view of x, and dx a view of dy: nothing is copied."""

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self.shape = tuple(self.shape)

    def output_shape(self, x_shape: Shape) -> Shape:
        if prod(x_shape[1:]) != prod(self.shape):
            raise MinaeError(
                f"Reshape{self.shape} holds {prod(self.shape)} numbers a sample, but its input "
                f"{x_shape} has {prod(x_shape[1:])}"
            )
        return (x_shape[0], *self.shape)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=False)
        cache.needs_dx = needs_dx
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        return x.reshape(cache.y_shape)

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        return dy.reshape(cache.x_shape) if cache.needs_dx else None


@dataclass(eq=False)
class Flatten(Reshape):
    """y = x seen as (N, C·H·W)."""

    shape: tuple[int, ...] = ()

    def output_shape(self, x_shape: Shape) -> Shape:
        return (x_shape[0], prod(x_shape[1:]))
