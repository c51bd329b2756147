"""Arrays of the CuPy backend, and what its other files share: scratch space, rows, chunks, sums."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from minae.backends.gpu_cupy import device
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.scratch import Scratch
from minae.backends.spec import Array
from minae.errors import MinaeError

PARTIALS = 1024  # blocks of a sum over all elements, all at once on a large card
CHUNKS = 4096  # blocks of sums over channels, at most about so many
THREADS_OF_32 = (32, 8)  # of a block in which 32 neighbours take neighbours in memory

scratch = Scratch(device.empty)
tickets = Scratch(device.zeros)  # kernels leave them as they find them; is_last of common.cuh


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Uninitialised array; see spec."""
    return device.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Array of zeros; see spec."""
    return device.zeros(shape, dtype)


def asarray(x: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> Array:
    """C-contiguous device array of x; x itself where it is one already. See spec."""
    if not device.is_array(x):
        return device.from_host(np.asarray(x, dtype=dtype))
    wanted = x.dtype if dtype is None else np.dtype(dtype)  # type: ignore[union-attr]
    if x.dtype != wanted:  # type: ignore[union-attr]
        return device.from_host(to_numpy(x).astype(wanted))  # type: ignore[arg-type]
    if x.flags.c_contiguous:  # type: ignore[union-attr]
        return x  # type: ignore[return-value]
    y = empty(x.shape, wanted)  # type: ignore[union-attr]
    copy(x, out=y)  # type: ignore[arg-type]
    return y


def to_numpy(x: Array) -> Array:
    """A copy of x on the host; waits for the device. See spec."""
    return device.to_host(contiguous("to_numpy", x))


def copy(x: Array, *, out: Array) -> None:
    """out = x; see spec."""
    if x.ndim > 4:
        raise MinaeError(f"the cupy backend copies arrays of up to 4 axes, found shape {x.shape}")
    *_, n1, n2, n3 = (1, 1, 1, 1, *x.shape)
    size = x.dtype.itemsize
    launch(
        "arrays",
        f"copy_{size}",
        np.float32,
        for_each(x.size),
        x,
        out,
        x.size,
        n1,
        n2,
        n3,
        *_strides(x, size),
        *_strides(out, size),
    )


def _strides(x: Array, size: int) -> list[np.int64]:
    """Four strides in elements."""
    return [np.int64(stride // size) for stride in (0, 0, 0, 0, *x.strides)[-4:]]


def add(a: Array, b: Array, *, out: Array) -> None:
    """out = a + b; see spec."""
    a, b = contiguous("add.a", a), contiguous("add.b", b)
    launch("arrays", "add", out.dtype, for_each(out.size), a, b, out.size, out)


def set_threads(threads: int) -> None:
    """Nothing: a GPU's threads are not counted; see spec."""


def device_name() -> str:
    """The card's name; see spec."""
    return device.name()


def record(run: Callable[[], None]) -> Callable[[], None]:
    """Do run() once, which makes scratch space and kernels, and capture it; see spec."""
    run()
    return device.record(run, keep=(scratch.buffers(), tickets.buffers()))


def contiguous(slot: str, x: Array) -> Array:
    """x itself where it is C-contiguous, else a copy of it in scratch."""
    if x.flags.c_contiguous:
        return x
    y = scratch(slot, x.shape, x.dtype)
    copy(x, out=y)
    return y


def rows(slot: str, x: Array) -> tuple[Array, int]:
    """x (N, Z) with contiguous rows, as the halves of (N, 2Z) have, and the stride of its rows."""
    size = x.dtype.itemsize
    if x.ndim == 2 and x.strides[1] == size and x.strides[0] >= x.shape[1] * size:
        return x, x.strides[0] // size
    return contiguous(slot, x), x.shape[-1]


def channels(x: Array) -> tuple[int, int, int]:
    """(N, K, L) of x (N, K) or (N, K, H, W): L = 1 or H·W."""
    N, K, *image = x.shape
    return N, K, int(np.prod(image, dtype=np.int64))


def channel_sums(
    file: str, kernel: str, dtype: npt.DTypeLike, x: Array, *arguments: object
) -> None:
    """Queue a kernel of sums over each channel of x, (N, K) or (N, K, H, W), with CHANNELS of
    kernels/common.cuh after its arguments: chunks of samples make 4 numbers a thread or more."""
    N, K, L = channels(x)
    if L >= 32:
        groups, width = K, K
        samples = max(1, 1024 // L, -(-N * K // CHUNKS))
    else:
        groups, width = -(-K // (32 // L)), K * L
        samples = max(32, -(-N // 256))
    chunks = -(-N // samples)
    partial = scratch("arrays.chunks", (chunks, width), np.float64)
    ticket = tickets("arrays.tickets", (groups,), np.uint32)
    given = (*arguments, N, K, L, samples, partial, ticket)
    launch(file, kernel, dtype, (groups, chunks), *given, threads=THREADS_OF_32)


def total(blocks: int, factor: float, value: Array) -> tuple[Array, Array, np.float64, Array]:
    """TOTAL of kernels/common.cuh for a grid of so many blocks: value[0] = factor · Σ."""
    partial = scratch("arrays.partials", (blocks,), np.float64)
    ticket = tickets("arrays.tickets", (1,), np.uint32)
    return partial, ticket, np.float64(factor), value


def some_blocks(n: int) -> int:
    """Blocks of a sum over n elements."""
    return min(for_each(n), PARTIALS)


def split(terms: int, blocks: int, longest: int) -> tuple[int, int]:
    """(parts, terms in each) that a product's sums are split into where it has few tiles.

    As many as make about 256 blocks, two for each multiprocessor of a large card, of 64 terms or
    more, or 1024 blocks of 1024 terms or more, which wait for memory at the same time; each of a
    whole number of the tiles' depth. It depends on the shapes alone, so results do not depend on
    the card. `longest` bounds the parts.
    """
    parts = max(min(256 // blocks, terms // 64), min(1024 // blocks, terms // 1024))
    parts = max(1, min(parts, longest))
    each = -(-terms // parts)
    each += -each % 16
    return -(-terms // each), each


def sum_splits(parts: Array, *, out: Array) -> None:
    """out = the sum of parts (splits, *out.shape) over splits, in a fixed order."""
    splits, n, dtype = parts.shape[0], out.size, out.dtype
    if splits <= 16:
        launch("sums", "sum_splits", dtype, for_each(n), parts, splits, n, out)
    else:
        given = (parts, splits, n, out)
        launch("sums", "sum_many_splits", dtype, -(-n // 32), *given, threads=THREADS_OF_32)
