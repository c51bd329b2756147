"""An activation function on its own. Derivation: reference/activations.py."""

from dataclasses import dataclass

from minae.backends.spec import ACTIVATIONS, Array
from minae.errors import MinaeError
from minae.layers.layer import Batch, Cache, Layer, Shape, expect


def check_activation(name: str, slope: float) -> None:
    if name not in ACTIVATIONS:
        raise MinaeError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    if not slope >= 0:  # f' is read off y, whose sign must be that of x
        raise MinaeError(f"the slope of {name} must be 0 or greater, found {slope}")


@dataclass(eq=False)
class Activation(Layer):
    """y = f(x), element by element, any shape (N, ...). Kept for backward: y.

    `slope` is leaky_relu's slope for x <= 0 and elu's alpha; the others ignore it.
    """

    activation: str
    slope: float = 0.01

    def __post_init__(self) -> None:
        check_activation(self.activation, self.slope)

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
        rows = (x.shape[0], -1)
        self.ops.bias_activation_forward(
            x.reshape(rows), None, self.activation, self.slope, out=cache.y.reshape(rows)
        )
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is None:
            return None
        rows = (dy.shape[0], -1)
        self.ops.bias_activation_backward(
            dy.reshape(rows),  # (N, D)
            cache.y.reshape(rows),
            self.activation,
            self.slope,
            dx=cache.dx.reshape(rows),
            db=None,
        )
        return cache.dx  # type: ignore[no-any-return]
