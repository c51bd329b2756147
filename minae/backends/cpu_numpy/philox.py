"""Random numbers by Philox4x32-10, all blocks of a draw at once. Derivation:
`reference/philox.py`.

The 32-bit words live in uint64 arrays, so that a product keeps its high half.
"""

from math import ceil, pi

import numpy as np

from minae.backends.cpu_numpy.arrays import arange, scratch
from minae.backends.spec import Array

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox4x32(words: Array, key: tuple[int, int]) -> None:
    """Ten rounds, in place, on words (4, ...), uint64 below 2³²: counter in, random words out.

    A round makes words 0, 1, 2, 3 into hi(M1 w2) ^ w1 ^ k0, lo(M1 w2), hi(M0 w0) ^ w3 ^ k1,
    lo(M0 w0); then the key takes one Weyl step.
    """
    w0, w1, w2, w3 = words
    product0 = scratch("philox.product0", w0.shape, np.uint64)
    product1 = scratch("philox.product1", w0.shape, np.uint64)
    k0, k1 = key
    for _ in range(10):
        np.multiply(w0, _MULTIPLIERS[0], out=product0)
        np.multiply(w2, _MULTIPLIERS[1], out=product1)
        np.right_shift(product1, 32, out=w0)
        np.bitwise_xor(w0, w1, out=w0)
        np.bitwise_xor(w0, k0, out=w0)
        np.bitwise_and(product1, _MASK, out=w1)
        np.right_shift(product0, 32, out=w2)
        np.bitwise_xor(w2, w3, out=w2)
        np.bitwise_xor(w2, k1, out=w2)
        np.bitwise_and(product0, _MASK, out=w3)
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK


def random_uint32(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """out = the integer stream; see spec."""
    N, D = out.shape
    blocks = -(-D // 4)
    words = scratch("philox.words", (4, N, blocks), np.uint64)
    np.copyto(words[0], arange(blocks), casting="unsafe")
    np.copyto(words[1], rows[:, None], casting="unsafe")
    np.bitwise_and(words[1], _MASK, out=words[1])
    words[2].fill(int(step[0]) & _MASK)
    words[3].fill(purpose)
    philox4x32(words, (seed & _MASK, seed >> 32))
    for place, word in enumerate(words):
        column = out[:, place::4]
        np.copyto(column, word[:, : column.shape[1]], casting="unsafe")


def _bits(seed: int, purpose: int, step: Array, rows: Array, D: int) -> Array:
    """The upper 23 bits of each word, uint32 (N, D), in scratch."""
    bits = scratch("philox.bits", (rows.size, D), np.uint32)
    random_uint32(seed, purpose, step, rows, out=bits)
    np.right_shift(bits, 9, out=bits)
    return bits


def random_uniform(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """out = ((x >> 9) + ½) · 2⁻²³; see spec."""
    np.copyto(out, _bits(seed, purpose, step, rows, out.shape[1]))
    np.add(out, 0.5, out=out)
    np.multiply(out, 2.0**-23, out=out)


def random_normal(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """Box-Muller on pairs of uniforms in double precision; see spec."""
    N, D = out.shape
    pairs = -(-D // 2)
    u = scratch("philox.u", (N, 2 * pairs), np.float64)
    radius = scratch("philox.radius", (N, pairs), np.float64)
    angle = scratch("philox.angle", (N, pairs), np.float64)
    normal = scratch("philox.normal", (N, pairs), np.float64)
    random_uniform(seed, purpose, step, rows, out=u)
    np.copyto(radius, u[:, 0::2])
    np.log(radius, out=radius)
    np.multiply(radius, -2, out=radius)
    np.sqrt(radius, out=radius)
    np.copyto(angle, u[:, 1::2])
    np.multiply(angle, 2 * pi, out=angle)
    np.cos(angle, out=normal)
    np.multiply(normal, radius, out=normal)
    np.copyto(out[:, 0::2], normal)
    np.sin(angle, out=normal)
    np.multiply(normal, radius, out=normal)
    np.copyto(out[:, 1::2], normal[:, : D // 2])


def random_bernoulli(
    seed: int, purpose: int, step: Array, rows: Array, keep: float, *, out: Array
) -> None:
    """out = 1 where u < keep, else 0; see spec.

    u < keep means (x >> 9) < keep · 2²³ - ½, exactly, since scaling by 2²³ rounds nothing.
    """
    bits = _bits(seed, purpose, step, rows, out.shape[1])
    kept = scratch("philox.kept", bits.shape, np.bool_)
    np.less(bits, ceil(keep * 2**23 - 0.5), out=kept)
    np.copyto(out, kept)
