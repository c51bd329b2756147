"""Arrays of the NumPy backend, and what its other files share: scratch space, constants, sums."""

import platform
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from minae.backends.scratch import Scratch
from minae.backends.spec import Array
from minae.errors import MinaeError

_LINE = 64  # bytes
_BLOCK = 32768  # elements that stay in the cache and outweigh a call
_limits: list[threadpool_limits] = []


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Uninitialised array; see spec. It begins at a cache line.

    NumPy's begin 16 bytes after one where they are large, and every vector of 64 bytes that is
    read or written then lies in two lines.
    """
    dtype = np.dtype(dtype)
    size = prod(shape) * dtype.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    first = -memory.ctypes.data % _LINE
    return memory[first : first + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Array of zeros; see spec. It begins at a cache line, as `empty`."""
    x = empty(shape, dtype)
    x.fill(0)
    return x


scratch = Scratch(empty)


def asarray(x: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> Array:
    """C-contiguous array of x; x itself where it is one already. See spec."""
    return np.asarray(x, dtype=dtype, order="C")


def to_numpy(x: Array) -> Array:
    """A copy of x; see spec."""
    return np.array(x, order="C")


def copy(x: Array, *, out: Array) -> None:
    """out = x; see spec."""
    np.copyto(out, x)


def add(a: Array, b: Array, *, out: Array) -> None:
    """out = a + b; see spec."""
    np.add(contiguous("add.a", a), contiguous("add.b", b), out=out)


def set_threads(threads: int) -> None:
    """Bound BLAS's threads, the only ones there are; see spec."""
    _limits[:] = [threadpool_limits(limits=threads, user_api="blas")]


def set_tf32(allowed: bool) -> None:
    """Nothing, or MinaeError where it is allowed; see spec."""
    if allowed:
        raise MinaeError("--tf32 is for the cupy backend: a processor multiplies in full float32")


def device_name() -> str:
    """The processor's name; see spec."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def record(run: Callable[[], None]) -> Callable[[], None]:
    """Do run() once, and return it; see spec."""
    run()
    return run


@cache
def ones(n: int, dtype: np.dtype[Any]) -> Array:
    """n ones, made once. A product with ones is the fastest sum there is."""
    return np.ones(n, dtype)


@cache
def arange(n: int) -> Array:
    """0, 1, ... n - 1 as int64, made once."""
    return np.arange(n, dtype=np.int64)


def contiguous(slot: str, x: Array) -> Array:
    """x itself where it is C-contiguous, else a copy of it in scratch."""
    if x.flags.c_contiguous:
        return x
    y = scratch(slot, x.shape, x.dtype)
    np.copyto(y, x)
    return y


def in_double(slot: str, x: Array) -> Array:
    """x itself where it is float64, else a copy of it in scratch."""
    if x.dtype == np.float64:
        return x
    y = scratch(slot, x.shape, np.float64)
    np.copyto(y, x)
    return y


def over_samples(ufunc: np.ufunc, x: Array, b: Array, *, out: Array) -> None:
    """out = ufunc(x, b) with b (K,) or (N, K) along axis 1 of x (N, K) or (N, K, H, W).

    x and out are C-contiguous. NumPy would allocate buffers in which to repeat b, so b is laid
    out for a block of samples and x is taken a block at a time.
    """
    N = x.shape[0]
    samples = N if b.ndim == 2 else min(N, 1 + _BLOCK * N // x.size)
    row = scratch("over_samples.row", (samples, *x.shape[1:]), b.dtype)
    np.copyto(row, b if x.ndim == 2 else b[..., None, None])
    for n in range(0, N, samples):
        block = x[n : n + samples]
        ufunc(block, row[: len(block)], out=out[n : n + samples])


def add_into(target: Array, part: Array) -> None:
    """target += part, target of any strides; NumPy's own addition would allocate buffers."""
    total = scratch("add_into.total", target.shape, target.dtype)
    np.copyto(total, target)
    np.add(total, contiguous("add_into.part", part), out=total)
    np.copyto(target, total)


def sum_pixels(x: Array, *, out: Array) -> None:
    """out (N, K) = sum of a C-contiguous x (N, K, H, W) over H, W."""
    N, K, H, W = x.shape
    rows = x.reshape(N * K, H * W)
    np.matmul(rows, ones(H * W, x.dtype), out=out.reshape(N * K))


def sum_channels(x: Array, *, out: Array) -> None:
    """out (K,) = sum of a C-contiguous x (N, K) or (N, K, H, W) over all axes but 1."""
    N, K = x.shape[:2]
    if x.ndim == 4:
        samples = scratch("sum_channels", (N, K), x.dtype)
        sum_pixels(x, out=samples)
        x = samples
    np.matmul(ones(N, x.dtype), x, out=out)
