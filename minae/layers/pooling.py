"""Pooling and upsampling. Derivation: reference/pooling.py."""

from dataclasses import dataclass

import numpy as np

from minae.backends.spec import Array, Pair
from minae.errors import MinaeError
from minae.layers.conv import pair
from minae.layers.layer import Batch, Cache, Layer, Shape, expect


def _four(layer: Layer, x_shape: Shape) -> Shape:
    if len(x_shape) != 4:
        raise MinaeError(
            f"{type(layer).__name__} wants inputs of shape (N, C, H, W), found {x_shape}"
        )
    return x_shape


@dataclass(eq=False)
class _Pool2d(Layer):
    """Windows of KH×KW every SH×SW. The stride is the kernel unless given."""

    kernel_size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair = 0

    def extents(self) -> tuple[Pair, Pair, Pair]:
        """(kernel, stride, padding), each as (height, width)."""
        kernel = pair(self.kernel_size)
        stride = kernel if self.stride is None else pair(self.stride)
        return kernel, stride, pair(self.padding)

    def __post_init__(self) -> None:
        for K, S, P in zip(*self.extents(), strict=True):
            if K < 1 or S < 1 or not 0 <= P <= K // 2:
                raise MinaeError(
                    f"{type(self).__name__}: kernel and stride must be >= 1 and padding at most "
                    f"half the kernel, found kernel {K}, stride {S}, padding {P}"
                )

    def output_shape(self, x_shape: Shape) -> Shape:
        N, C, *sizes = _four(self, x_shape)
        outputs = [
            (size + 2 * P - K) // S + 1
            for size, K, S, P in zip(sizes, *self.extents(), strict=True)
        ]
        if min(outputs) < 1:
            raise MinaeError(
                f"{type(self).__name__}: the kernel {pair(self.kernel_size)} is larger than the "
                f"input {tuple(sizes)}"
            )
        return (N, C, *outputs)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(cache.y_shape)
        return cache


@dataclass(eq=False)
class MaxPool2d(_Pool2d):
    """y = the largest x of each window. x: (N, C, H, W). Kept for backward: the winners' places."""

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.argmax = self.ops.empty(cache.y_shape, np.int32)
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        self.ops.max_pool2d_forward(x, *self.extents(), out=cache.y, argmax=cache.argmax)
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is not None:
            self.ops.max_pool2d_backward(dy, cache.argmax, *self.extents(), out=cache.dx)
        return cache.dx  # type: ignore[no-any-return]


@dataclass(eq=False)
class AvgPool2d(_Pool2d):
    """y = the mean over each window, padding counted as zeros. x: (N, C, H, W)."""

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        self.ops.avg_pool2d_forward(x, *self.extents(), out=cache.y)
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is not None:
            self.ops.avg_pool2d_backward(dy, *self.extents(), out=cache.dx)
        return cache.dx  # type: ignore[no-any-return]


@dataclass(eq=False)
class Upsample2d(Layer):
    """Nearest neighbour: each pixel becomes a block of `scale`. x: (N, C, H, W)."""

    scale: int | Pair

    def __post_init__(self) -> None:
        if min(pair(self.scale)) < 1:
            raise MinaeError(f"Upsample2d: scale must be >= 1, found {self.scale}")

    def output_shape(self, x_shape: Shape) -> Shape:
        N, C, H, W = _four(self, x_shape)
        SH, SW = pair(self.scale)
        return (N, C, H * SH, W * SW)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(cache.y_shape)
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        self.ops.upsample2d_forward(x, pair(self.scale), out=cache.y)
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        if cache.dx is not None:
            self.ops.upsample2d_backward(dy, pair(self.scale), out=cache.dx)
        return cache.dx  # type: ignore[no-any-return]
