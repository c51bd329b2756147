"""Products with a batch that is mostly zeros: strips of zeros are left out.

Plain form: `cpu_numpy/sparse.py`. Strip by strip, the samples that are not zero there are listed;
what they have in the strip, 8 columns each, is copied to a small matrix in the first cache, and its
product keeps its sums in registers as that of a dense tile does. A batch of bytes is scaled while
it is copied.
"""

from typing import Any

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.compiler import AVX512, VECTOR_BYTES
from minae.backends.cpu_numba.jit import elementwise, not_in_kernels, threaded
from minae.backends.cpu_numba.sample_last import transpose
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.tiles import TILE, add_rows_to_strip, add_strip_to_rows, take_strip
from minae.backends.cpu_numba.vectors import list_with_bit
from minae.backends.cpu_numpy import sparse
from minae.backends.spec import STRIP, Array

# Microseconds for N rows of MNIST (39 % of its strips) and K features, float32, on two cores of an
# Intel Xeon with vectors of 512 bits, by strips and by the dense product (`dense.py`):
#   N, K       64, 64   64, 400   128, 30   128, 128   128, 400   256, 30   256, 128   256, 400
#   forward    58   34  366  166   47   56  116  106   465  301   65   99   176  176   653  580
#   gradient   32   32  175  151   36   41   80  115   247  325   55   74   115  234   427  614
#   N, K     256, 1000    4096, 30    4096, 400
#   forward  1446 1431   1051 2002    5749 8934
#   gradient 1250 1425   1040 1583    5677 9684
# (`python -m bench.cpu --choices` prints them anew). Forward of 256, 400 is the VAE's, whose step
# takes 1.04 of the time with the dense product, 1.07 at 4096. What comes before the products is the
# same for one feature as for many, and for few samples as for many; with many features y and w are
# larger than the second cache, on an AMD EPYC with 1000 already (1826 in place of 1082). There
# strips were ahead of BLAS from 32 samples on; beside tiles they have not been measured. Vectors of
# 256 bits, with which the dense product is BLAS's, compiled for Haswell on the Xeon:
#   N, K       32, 128   32, 400   64, 64   64, 400   128, 128   128, 400   256, 128
#   forward    68   53  166  135  54  49  245  234  116  151  343  432   184   268
#   gradient   43   59  128  175  33  48  178  263   89  144  263  412   151   277
_LEAST, _LEAST_OF_GRADIENT = (192, 96) if VECTOR_BYTES == 64 else (128, 1)  # samples
_LEAST_NUMBERS = 4096  # samples times features
_MOST_FEATURES, _MOST_STRIPS = 512, 0.6
_CHUNK = 256  # samples, in whole eights, whose rows then stay in the second cache


def sparse_pays(operation: str, samples: int, features: int, density: float) -> bool:
    """By the table above; see spec."""
    many = samples * features >= _LEAST_NUMBERS and density <= _MOST_STRIPS
    if operation == "sparse_weight_gradient":
        return many and samples >= _LEAST_OF_GRADIENT
    return many and samples >= _LEAST and features <= _MOST_FEATURES


def sparse_matmul(strips: Array, rows: Array, x: Array, w: Array, *, out: Array) -> None:
    """out = (x ⊙ m) wᵀ. Plain form: `cpu_numpy.sparse.sparse_matmul`, also taken if the last strip
    is a shorter one."""
    if x.shape[1] % STRIP:
        not_in_kernels()
        sparse.sparse_matmul(strips, rows, x, w, out=out)
    else:
        scaled_sparse_matmul(strips, rows, x, 1.0, w, out=out)


def scaled_sparse_matmul(
    strips: Array, rows: Array, x: Array, scale: float, w: Array, *, out: Array
) -> None:
    """`sparse_matmul` of scale · x, numbers or bytes, in whole strips; each thread a part of the
    samples. A batch of bytes takes a quarter of the cache. Plain form: `gather` before it."""
    (N, D), K = x.shape, len(w)
    width = _width(K, w)
    w_turned = scratch("sparse.turned", (D, width), w.dtype)
    _turn(parts(D, w.size), contiguous("sparse.w", w), w_turned)
    count = parts(N, x.size)
    words, samples, packed = _part_space(count, strips, w)
    y = scratch_of_parts("sparse.y", count, (min(_CHUNK, -(-N // count)), width), w.dtype)
    x, factor = contiguous("sparse.x", x), w.dtype.type(scale)
    _sparse_matmul(count, strips, rows, x, factor, w_turned, words, samples, packed, y, out)


def sparse_weight_gradient(strips: Array, rows: Array, x: Array, dy: Array, *, out: Array) -> None:
    """out = dyᵀ (x ⊙ m). Plain form: `cpu_numpy.sparse.sparse_weight_gradient`, taken likewise."""
    if x.shape[1] % STRIP:
        not_in_kernels()
        sparse.sparse_weight_gradient(strips, rows, x, dy, out=out)
    else:
        scaled_sparse_weight_gradient(strips, rows, x, 1.0, dy, out=out)


def scaled_sparse_weight_gradient(
    strips: Array, rows: Array, x: Array, scale: float, dy: Array, *, out: Array
) -> None:
    """`sparse_weight_gradient` of scale · x, numbers or bytes, in whole strips; each thread a part
    of the strips. Plain form: `gather` before it."""
    (N, D), K = x.shape, len(out)
    width = _width(K, out)
    dy = contiguous("sparse.dy", dy)
    if width != K:
        padded = scratch("sparse.y", (N, width), out.dtype)
        _pad(parts(N, padded.size), dy, padded)
        dy = padded
    dw = scratch("sparse.turned", (D, width), out.dtype)
    count = parts(D // STRIP, x.size)
    words, samples, packed = _part_space(count, strips, out)
    x, factor = contiguous("sparse.x", x), out.dtype.type(scale)
    _sparse_weight_gradient(count, strips, rows, x, factor, dy, words, samples, packed, dw, out)


def _width(K: int, w: Array) -> int:
    """K rounded up to whole pairs of vectors."""
    pair = 2 * VECTOR_BYTES // int(w.itemsize)
    return -(-K // pair) * pair


def _part_space(count: int, strips: Array, w: Array) -> tuple[Array, Array, Array]:
    """For each part, the bits of a chunk, (words, samples), a list of samples, and what these have
    in a strip."""
    return (
        scratch_of_parts("sparse.words", count, (strips.shape[1], _CHUNK), np.uint64),
        scratch_of_parts("sparse.samples", count, (_CHUNK + TILE,), np.int64),
        scratch_of_parts("sparse.packed", count, (_CHUNK + TILE, STRIP), w.dtype),
    )


@threaded
def _turn(part: int, parts: int, w: Array, w_turned: Array) -> None:
    """w_turned (D, width) = wᵀ, with zeros beyond K."""
    first, end = share(part, parts, len(w_turned))
    transpose(w[:, first:end], w_turned[first:end])


@threaded
def _pad(part: int, parts: int, x: Array, padded: Array) -> None:
    """padded (N, width) = x (N, K), with zeros beyond K."""
    K = x.shape[1]
    first, end = share(part, parts, len(x))
    for n in range(first, end):
        for k in range(K):
            padded[n, k] = x[n, k]
        for k in range(K, padded.shape[1]):
            padded[n, k] = 0


@threaded
def _sparse_matmul(
    part: int,
    parts: int,
    strips: Array,
    rows: Array,
    x: Array,
    scale: float,
    w: Array,
    words: Array,
    samples: Array,
    packed: Array,
    y: Array,
    out: Array,
) -> None:
    """out (N, K) = (x ⊙ m) w for w (D, width), its first K columns.

    A chunk is summed in its part's y (samples, width), strip by strip, and copied: of two threads
    that sum in out itself each would fetch ahead what the other is writing (`scratch_of_parts.py`).
    """
    first, end = share(part, parts, len(out))
    with_strip, bits = part_of(samples, part), part_of(words, part)
    x_strip, y = part_of(packed, part), part_of(y, part)
    pair = 2 * VECTOR_BYTES // y.itemsize
    for start in range(first, end, _CHUNK):
        stop = min(start + _CHUNK, end)
        chunk = x[start:stop]
        _take(strips, rows[start:stop], bits)
        for n in range(stop - start):
            for k in range(y.shape[1]):
                y[n, k] = 0
        for s in range(x.shape[1] // STRIP):
            count = _list(bits[s // 64], s % 64, stop - start, with_strip)
            whole = (count + TILE - 1) // TILE * TILE
            for i in range(count, whole):  # a row named twice is added to once
                with_strip[i] = with_strip[count - 1]
            for i in range(whole):
                take_strip(chunk, with_strip[i], s * STRIP, scale, x_strip, i)
            for k in range(0, y.shape[1], pair):
                for i in range(0, count, TILE):
                    add_strip_to_rows(x_strip, w, with_strip, i, s * STRIP, k, y)
        for n in range(start, stop):
            for k in range(out.shape[1]):
                out[n, k] = y[n - start, k]


@threaded
def _sparse_weight_gradient(
    part: int,
    parts: int,
    strips: Array,
    rows: Array,
    x: Array,
    scale: float,
    dy: Array,
    words: Array,
    samples: Array,
    packed: Array,
    dw: Array,
    out: Array,
) -> None:
    """dw (D, width) = (x ⊙ m)ᵀ dy for dy (N, width), and out (K, D) = dwᵀ."""
    N, width = dy.shape
    pair = 2 * VECTOR_BYTES // dy.itemsize
    first, end = share(part, parts, x.shape[1] // STRIP)
    with_strip, bits = part_of(samples, part), part_of(words, part)
    x_strip = part_of(packed, part)
    for d in range(first * STRIP, end * STRIP):
        for k in range(width):
            dw[d, k] = 0
    for start in range(0, N, _CHUNK):
        stop = min(start + _CHUNK, N)
        chunk, dy_chunk = x[start:stop], dy[start:stop]
        _take(strips, rows[start:stop], bits)
        for s in range(first, end):
            count = _list(bits[s // 64], s % 64, stop - start, with_strip)
            for i in range(count):
                take_strip(chunk, with_strip[i], s * STRIP, scale, x_strip, i)
            for k in range(0, width, pair):
                add_rows_to_strip(x_strip, dy_chunk, with_strip, count, s * STRIP, k, dw)
    transpose(dw[first * STRIP : end * STRIP], out[:, first * STRIP : end * STRIP])


@elementwise
def _take(strips: Array, rows: Array, bits: Array) -> None:
    """bits[i, n] = strips[rows[n], i]."""
    for n in range(len(rows)):
        for i in range(strips.shape[1]):
            bits[i, n] = strips[rows[n], i]


@elementwise
def _list_by_ones(words: Array, bit: int, N: int, samples: Array) -> Any:
    """The samples of a chunk of N whose word has a bit, and how many they are; no branch is taken,
    for none could be guessed."""
    shift = np.uint64(bit)
    count: Any = 0
    for n in range(N):
        samples[count] = n
        count += np.int64((words[n] >> shift) & np.uint64(1))
    return count


@elementwise
def _list_by_vectors(words: Array, bit: int, N: int, samples: Array) -> Any:
    """The same, eight samples at a time."""
    return list_with_bit(words, bit, N, samples)


_list = _list_by_vectors if AVX512 else _list_by_ones
