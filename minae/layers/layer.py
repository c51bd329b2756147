"""The layer protocol: y = layer.forward(x, cache), dx = layer.backward(dy, cache)."""

from dataclasses import dataclass
from math import prod
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from minae.backends.spec import STRIP, Array, Backend
from minae.changes import Watched
from minae.errors import MinaeError
from minae.init import Initializer

Shape = tuple[int, ...]
_TOGETHER = 128  # images that are looked through at a time: a mask of all would be as large as they


@dataclass(frozen=True)
class Parameter:
    """What a layer asks for: an array of this shape, trained, and how its values begin."""

    shape: Shape
    init: Initializer
    fan_in: int = 1
    fan_out: int = 1


class Strips(NamedTuple):
    """In which strips of columns each sample of a data set is not zero; layout: spec, sparse.py."""

    bits: Array
    density: float  # share of strips that are there

    @classmethod
    def of(cls, ops: Backend, images: Array) -> "Strips":
        """Those of host images (M, D)."""
        M, D = images.shape
        count = -(-D // STRIP)
        bits = np.zeros((M, -(-count // 64) * 8), np.uint8)
        mask, there = np.zeros((_TOGETHER, count * STRIP), bool), 0
        for first in range(0, M, _TOGETHER):
            chunk = images[first : first + _TOGETHER]
            np.not_equal(chunk, 0, out=mask[: len(chunk), :D])
            found = mask[: len(chunk)].view(np.uint64) != 0  # (n, strips), 8 bytes a strip
            there += int(found.sum())
            packed = np.packbits(found, axis=1, bitorder="little")
            bits[first : first + _TOGETHER, : packed.shape[1]] = packed
        return cls(ops.asarray(bits.view("<u8"), np.uint64), there / (M * count))


@dataclass
class SparseInput:
    """What is known of a batch's pixels x: the strips that its samples, `rows`, have."""

    x: Array
    rows: Array
    strips: Strips


@dataclass
class Batch:
    """What a layer may need to know of a batch beside its own input.

    rows: int64 (N,), each sample's index in its data set; step: int64 (1,), training steps done;
    one_hot: (N, classes) labels, for layers with label conditioning; training: whether dropout
    drops and batch normalization takes its statistics from the batch; sparse: where the pixels are
    zero, for a first layer that leaves those out.
    """

    seed: int
    step: Array
    rows: Array
    one_hot: Array | None = None
    training: bool = True
    sparse: SparseInput | None = None

    @classmethod
    def first(cls, ops: Backend, samples: int, *, seed: int = 0, training: bool = True) -> "Batch":
        """Step 0 of samples 0, 1, 2, ..."""
        return cls(
            seed=seed,
            step=ops.zeros((1,), np.int64),
            rows=ops.asarray(np.arange(samples), np.int64),
            training=training,
        )


class Cache(SimpleNamespace):
    """What one layer keeps between forward and backward, under names, for one batch shape.

    Made once by `Layer.new_cache` and written anew at every step. Two forward passes that are both
    to be followed by a backward pass need two caches.
    """

    batch: Batch
    x_shape: Shape
    y_shape: Shape


class Layer(Watched):
    """Base of all layers: parameters in, parameters' gradients out, buffers in the cache.

    A layer does no arithmetic: it calls the operations of its backend in order. `Parameters`
    (minae.parameters) gives it `ops`, `dtype` and, for each name in `parameters()`, the attribute
    itself and its gradient with a d before the name (`w` and `dw`), both views of flat vectors.
    """

    types: ClassVar[dict[str, type["Layer"]]] = {}
    ops: Backend
    dtype: npt.DTypeLike

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Layer.types[cls.__name__] = cls

    def parameters(self) -> dict[str, Parameter]:
        """Trained arrays by name."""
        return {}

    def statistics(self) -> dict[str, Parameter]:
        """Arrays that are saved with the weights but not trained, by name."""
        return {}

    def sublayers(self) -> list["Layer"]:
        """Layers inside this one, in order."""
        return []

    def stream(self) -> int | None:
        """Purpose word (minae.random) of what the layer draws in training; None if it does not."""
        return None

    def output_shape(self, x_shape: Shape) -> Shape:
        """Shape of y for an x of this shape, both with N. Raises MinaeError if x does not fit."""
        raise NotImplementedError

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        """Buffers for inputs of this shape. Without `needs_dx`, backward returns None: the first
        layer of a network need not compute a gradient that nobody reads.

        Raises MinaeError if a layer that draws is given other rows than the batch's samples."""
        batch = batch or Batch.first(self.ops, x_shape[0])
        if self.stream() is not None and len(batch.rows) != x_shape[0]:
            raise MinaeError(
                f"{type(self).__name__} draws for each sample of a batch, here {len(batch.rows)}, "
                f"and cannot be given inputs of shape {x_shape}"
            )
        cache = Cache(batch=batch, x_shape=x_shape, y_shape=self.output_shape(x_shape))
        cache.dx = self.empty(x_shape) if needs_dx else None
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        """y, a buffer of the cache (valid until the next forward with that cache)."""
        raise NotImplementedError

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        """dx, a buffer of the cache; overwrites the gradients of the parameters."""
        raise NotImplementedError

    def empty(self, shape: Shape) -> Array:
        return self.ops.empty(shape, self.dtype)

    def drawn(self, shape: Shape) -> Array:
        """For random numbers, which a recorded step leaves there to be looked at."""
        return self.ops.zeros(shape, self.dtype)


def expect(layer: Layer, found: Array, wanted: Shape, what: str) -> None:
    """Raise if an array given to forward or backward has not the shape its cache was made for, or
    not the layer's dtype."""
    if found.shape != wanted:
        raise MinaeError(
            f"{type(layer).__name__}: {what} has shape {found.shape}, but the cache was made for "
            f"{wanted}"
        )
    if found.dtype != layer.dtype:
        raise MinaeError(
            f"{type(layer).__name__}: {what} has dtype {found.dtype}, but the layer computes in "
            f"{layer.dtype}"
        )


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (A, B, *kernel), as PyTorch counts them."""
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel
