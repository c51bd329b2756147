"""Images with the sample as last axis, (C, H, W, B), for operations that read strided windows.

What a batch holds at one place of the image is then a run of B numbers next to each other: windows
are summed or compared run by run at full vector width, whatever the stride, the dilation, the
padding and the width of the image. The price is to turn the batch around, in and out.

A batch is taken in chunks of at most 256 samples. B is their number rounded up to whole runs
(`vectors.RUN`); the rest is zeros. The last axis is longer than B, an odd number of vectors: with
512 or 1024 bytes from row to row, the rows of a window would compete for the same lines of cache.
"""

from collections.abc import Iterator

from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numba.vectors import LANES, RUN, VECTOR_BYTES, transpose_tile
from minae.backends.cpu_numpy.arrays import scratch
from minae.backends.spec import Array

_CHUNK = 256  # samples in a chunk at most
_NUMBERS = 2**22  # numbers in a chunk's input and output at most, if that leaves one run


def chunks(x: Array, y: Array) -> Iterator[tuple[slice, int]]:
    """Slices of a batch that goes from x to y (N, C, H, W), each with its B."""
    fitting = _NUMBERS // (x[0].size + y[0].size)
    most = min(max(fitting // RUN, 1) * RUN, _CHUNK)
    for start in range(0, len(x), most):
        stop = min(start + most, len(x))
        yield slice(start, stop), -(-(stop - start) // RUN) * RUN


def like_sample_last(slot: str, x: Array, B: int) -> Array:
    """Scratch (C, H, W, B + gap) for x (N, C, H, W)."""
    return scratch(slot, (*x.shape[1:], (B // LANES | 1) * LANES), x.dtype)


def sample_last(slot: str, x: Array, B: int) -> Array:
    """x (N, C, H, W), contiguous, as scratch (C, H, W, B + gap)."""
    last = like_sample_last(slot, x, B)
    _transpose(x.reshape(len(x), -1), last.reshape(-1, last.shape[3]))  # (N, D) to (D, B + gap)
    return last


def sample_first(last: Array, *, out: Array) -> None:
    """out (N, C, H, W) = last (C, H, W, B + gap)."""
    _transpose(last.reshape(-1, last.shape[3]), out.reshape(len(out), -1))  # (D, B + gap) to (N, D)


@elementwise
def _transpose(x: Array, y: Array) -> None:
    """y = xᵀ. Columns of x that y has no row for are left out, columns of y without a row are 0."""
    R, columns = y.shape
    S = min(len(x), columns)
    n = VECTOR_BYTES // x.itemsize
    in_tiles = R - R % n, S - S % n
    for r in range(0, in_tiles[0], n):
        for s in range(0, in_tiles[1], n):
            transpose_tile(x, s, r, y)
    for r in range(R):
        for s in range(in_tiles[1] if r < in_tiles[0] else 0, S):
            y[r, s] = x[s, r]
        for s in range(S, columns):
            y[r, s] = 0
