"""Products with a batch that is mostly zeros. Derivation: `reference/sparse.py`.

NumPy has no product that leaves zeros out: the mask is multiplied in, and never preferred.
"""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous, scratch
from minae.backends.cpu_numpy.dense import matmul
from minae.backends.spec import STRIP, Array


def sparse_pays(operation: str, samples: int, features: int, density: float) -> bool:
    """Never; see spec."""
    return False


def sparse_matmul(strips: Array, rows: Array, x: Array, w: Array, *, out: Array) -> None:
    """out = (x ⊙ m) wᵀ; see spec."""
    matmul(_masked(strips, rows, x), w, out=out, transpose_b=True)


def sparse_weight_gradient(strips: Array, rows: Array, x: Array, dy: Array, *, out: Array) -> None:
    """out = dyᵀ (x ⊙ m); see spec."""
    matmul(dy, _masked(strips, rows, x), out=out, transpose_a=True)


def _masked(strips: Array, rows: Array, x: Array) -> Array:
    """x ⊙ m (N, D)."""
    masked = scratch("sparse.x", x.shape, x.dtype)
    words = scratch("sparse.words", (len(rows), strips.shape[1]), np.uint64)
    bits = scratch("sparse.bits", (len(rows),), np.uint64)
    np.take(contiguous("sparse.strips", strips), rows, axis=0, out=words, mode="clip")
    for s in range(-(-x.shape[1] // STRIP)):
        np.right_shift(words[:, s // 64], np.uint64(s % 64), out=bits)
        np.bitwise_and(bits, np.uint64(1), out=bits)
        of_strip = masked[:, s * STRIP : (s + 1) * STRIP]
        np.copyto(of_strip, bits[:, None], casting="unsafe")  # m
    np.multiply(contiguous("sparse.given", x), masked, out=masked)
    return masked
