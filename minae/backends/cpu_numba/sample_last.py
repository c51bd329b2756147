"""Images with the sample as last axis, (C, H, W, B), for operations that read strided windows.

What a batch holds at one place of the image is then a run of B numbers next to each other: windows
are summed or compared run by run at full vector width, whatever the stride, the dilation, the
padding and the width of the image. The price is to turn the batch around, in and out.

A batch is taken in parts, one a thread, and a part in chunks of B samples, B a number of whole runs
(`vectors.RUN`); where samples are missing stand zeros. The last axis is longer than B, an odd
number of vectors: with 512 or 1024 bytes from row to row, the rows of a window would compete for
the same lines of cache.
"""

import numpy.typing as npt

from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numba.scratch_of_parts import scratch_of_parts
from minae.backends.cpu_numba.threads import parts
from minae.backends.cpu_numba.vectors import (
    LANES,
    RUN,
    prefetch,
    transpose_edge,
    transpose_tile,
)
from minae.backends.spec import Array

_CHUNK = 64  # samples in a chunk at most: images of M3 and M5 then lie in the second cache
_NUMBERS = 2**22  # numbers in a chunk's input and output at most, if that leaves one run


def portions(x: Array, y: Array, most: int | None = None) -> tuple[int, int]:
    """(parts, B) for a batch that goes from x to y (N, C, H, W); so many parts at most."""
    runs = -(-len(x) // RUN)
    count = min(parts(runs, x.size + y.size), most or runs)
    fitting = _NUMBERS // (x[0].size + y[0].size) // RUN
    return count, RUN * max(1, min(-(-runs // count), fitting, _CHUNK // RUN))


def like_sample_last(slot: str, x: Array, parts: int, B: int) -> Array:
    """Scratch of parts, (C, H, W, B + gap) each, for chunks of x (N, C, H, W)."""
    return scratch_of_parts(slot, parts, (*x.shape[1:], _row(B)), x.dtype)


def runs_of_samples(slot: str, places: int, parts: int, B: int, dtype: npt.DTypeLike) -> Array:
    """Scratch of parts, (places, B + gap) each."""
    return scratch_of_parts(slot, parts, (places, _row(B)), dtype)


def _row(B: int) -> int:
    """B + gap."""
    return (B // LANES | 1) * LANES


@elementwise
def share_of_runs(part: int, parts: int, N: int) -> tuple[int, int]:
    """First and last (excluded) of the samples of a part, whole runs of them."""
    runs = (N + RUN - 1) // RUN
    return part * runs // parts * RUN, min((part + 1) * runs // parts * RUN, N)


@elementwise
def sample_last(x: Array, last: Array) -> int:
    """last (C, H, W, B + gap) = x (n, C, H, W), n <= B. Returns n rounded up to whole runs.

    While some samples are turned the next are fetched into the cache: their rows are too many, and
    too far apart, for the processor to see what will be read. Half of the time was spent waiting.
    """
    N, C, H, W = x.shape
    D = C * H * W
    x_rows, places = x.reshape(N, D), last.reshape(D, last.shape[3])
    n = VECTOR_BYTES // x.itemsize
    for s in range(0, N, n):
        for r in range(0, D, n):
            _prefetch_tile(x_rows, s + n, r, n)
            _turn_tile(x_rows, s, r, N - s, D - r, places)
    runs: int = (N + RUN - 1) // RUN
    _clear_columns(places, N, runs * RUN)
    return runs * RUN


@elementwise
def sample_first(last: Array, out: Array) -> None:
    """out (n, C, H, W) = last (C, H, W, B + gap)."""
    N, C, H, W = out.shape
    places, rows = last.reshape(C * H * W, last.shape[3]), out.reshape(N, C * H * W)
    for n in range(0, N, VECTOR_BYTES // out.itemsize):
        samples_first(places, n, rows)


@elementwise
def samples_first(places: Array, first: int, out: Array) -> None:
    """out[n, d] = places[d, n] for as many n from the first on as a vector has. out (n, D), places
    (D or more, B + gap). What will be written next is fetched, too."""
    N, D = out.shape
    lanes = VECTOR_BYTES // out.itemsize
    for d in range(0, D, lanes):
        _prefetch_tile(out, first + lanes, d, lanes)
        _turn_tile(places, d, first, D - d, N - first, out)


@elementwise
def transpose(x: Array, y: Array) -> None:
    """y = xᵀ. Columns of x that y has no row for are left out, columns of y without a row are 0."""
    R, columns = y.shape
    S = min(len(x), columns)
    n = VECTOR_BYTES // x.itemsize
    for r in range(0, R, n):
        for s in range(0, S, n):
            _turn_tile(x, s, r, S - s, R - r, y)
    _clear_columns(y, S, columns)


@elementwise
def _turn_tile(x: Array, s: int, r: int, rows: int, columns: int, y: Array) -> None:
    """y[r + j, s + i] = x[s + i, r + j] for i < rows, j < columns, and as many as a vector has."""
    n = VECTOR_BYTES // x.itemsize
    if rows >= n and columns >= n:
        transpose_tile(x, s, r, y)
    else:
        transpose_edge(x, s, r, rows, columns, y)


@elementwise
def _prefetch_tile(x: Array, row: int, column: int, n: int) -> None:
    """Asks for n numbers of each of n rows, as far as there are such."""
    for i in range(row, min(row + n, len(x))):
        prefetch(x[i], column, min(column + n, x.shape[1]))


@elementwise
def _clear_columns(x: Array, first: int, end: int) -> None:
    for r in range(len(x)):
        for s in range(first, end):
            x[r, s] = 0
