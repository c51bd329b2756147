"""Random numbers by Philox4x32-10, each row of a draw made and converted while it is in cache.

Plain form: `cpu_numpy/philox.py`, ten rounds of whole-array steps over all blocks at once. Each
thread takes a part of the rows.
"""

import math

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import elementwise, not_in_kernels, threaded
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vector_math import cos_sin_turn, log_float64
from minae.backends.cpu_numpy import philox
from minae.backends.spec import Array

# 32-bit words are kept in uint64, so that a product keeps its high half. Each constant is a uint64:
# Numba makes the sum of a uint64 and a signed number a float64.
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_2 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_TOGETHER = 16384  # rows that NumPy draws at a time: its arrays take 1 MB and not 4
_TIMES = 4  # a number that is drawn takes as long as so many that others compute
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def random_uint32(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """out = the integer stream, by `cpu_numpy.philox.random_uint32`, some rows at a time.

    An epoch's order is drawn so, two numbers a sample: a kernel is no faster (1.1 and 1.0 ms for
    60 000), and would be the one that is compiled before a step's, which two processes compile.
    """
    not_in_kernels()
    for first in range(0, len(rows), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        philox.random_uint32(seed, purpose, step, rows[some], out=out[some])


def random_uniform(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """u = ((x >> 9) + ½) · 2⁻²³. Plain form: `cpu_numpy.philox.random_uniform`."""
    _random_uniform(*_arguments(seed, purpose, step, rows, out), out)


def random_normal(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """Box-Muller on pairs of uniforms. Plain form: `cpu_numpy.philox.random_normal`."""
    _random_normal(*_arguments(seed, purpose, step, rows, out), out)


def random_bernoulli(
    seed: int, purpose: int, step: Array, rows: Array, keep: float, *, out: Array
) -> None:
    """1 where u < keep, else 0. Plain form: `cpu_numpy.philox.random_bernoulli`.

    u < keep means (x >> 9) < keep · 2²³ - ½, exactly, since scaling by 2²³ rounds nothing.
    """
    below = np.int64(math.ceil(keep * 2**23 - 0.5))
    _random_bernoulli(*_arguments(seed, purpose, step, rows, out), below, out)


def _arguments(
    seed: int, purpose: int, step: Array, rows: Array, out: Array
) -> tuple[int, np.uint64, np.uint64, Array, Array, Array]:
    """What each kernel takes: parts, seed, purpose, step, rows and space for the words of a row."""
    blocks = -(-out.shape[1] // 4)
    count = parts(len(out), _TIMES * out.size)
    words = scratch_of_parts("philox.words", count, (4 * blocks,), np.uint32)
    rows = contiguous("philox.rows", rows)
    return count, np.uint64(seed), np.uint64(purpose), step, rows, words


@elementwise
def _random_row(seed: np.uint64, purpose: np.uint64, step: Array, row: int, words: Array) -> None:
    """words[4 i + j] = word j of the block with counter (i, row, step, purpose)."""
    for i in range(len(words) // 4):
        k0, k1 = seed & _LOW, seed >> _32
        c0, c1 = np.uint64(i), np.uint64(row) & _LOW
        c2, c3 = np.uint64(step[0]) & _LOW, purpose
        for _ in range(10):
            p0, p2 = _MULTIPLIER_0 * c0, _MULTIPLIER_2 * c2
            c0, c1 = (p2 >> _32) ^ c1 ^ k0, p2 & _LOW
            c2, c3 = (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
            k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
        words[4 * i] = c0
        words[4 * i + 1] = c1
        words[4 * i + 2] = c2
        words[4 * i + 3] = c3


@elementwise
def _uniform(word: int) -> float:
    """((x >> 9) + ½) · 2⁻²³ in float64."""
    return (np.int32(word >> np.uint32(9)) + 0.5) * 2.0**-23


@threaded
def _random_uniform(
    part: int,
    parts: int,
    seed: np.uint64,
    purpose: np.uint64,
    step: Array,
    rows: Array,
    words: Array,
    out: Array,
) -> None:
    D, row = out.shape[1], part_of(words, part)
    first, end = share(part, parts, len(out))
    for n in range(first, end):
        _random_row(seed, purpose, step, rows[n], row)
        for d in range(D):
            out[n, d] = _uniform(row[d])


@threaded
def _random_normal(
    part: int,
    parts: int,
    seed: np.uint64,
    purpose: np.uint64,
    step: Array,
    rows: Array,
    words: Array,
    out: Array,
) -> None:
    D, row = out.shape[1], part_of(words, part)
    first, end = share(part, parts, len(out))
    for n in range(first, end):
        _random_row(seed, purpose, step, rows[n], row)
        for pair in range(D // 2):
            radius = math.sqrt(-2.0 * log_float64(_uniform(row[2 * pair])))
            cos, sin = cos_sin_turn(_uniform(row[2 * pair + 1]))
            out[n, 2 * pair] = radius * cos
            out[n, 2 * pair + 1] = radius * sin
        if D % 2 == 1:
            radius = math.sqrt(-2.0 * log_float64(_uniform(row[D - 1])))
            out[n, D - 1] = radius * cos_sin_turn(_uniform(row[D]))[0]


@threaded
def _random_bernoulli(
    part: int,
    parts: int,
    seed: np.uint64,
    purpose: np.uint64,
    step: Array,
    rows: Array,
    words: Array,
    below: int,
    out: Array,
) -> None:
    D, row = out.shape[1], part_of(words, part)
    one, zero = out.dtype.type(1), out.dtype.type(0)
    first, end = share(part, parts, len(out))
    for n in range(first, end):
        _random_row(seed, purpose, step, rows[n], row)
        for d in range(D):
            out[n, d] = one if np.int32(row[d] >> np.uint32(9)) < below else zero
