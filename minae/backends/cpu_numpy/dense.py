"""Matrix product of fully connected layers, one BLAS call. Derivation: `reference/dense.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous
from minae.backends.spec import Array


def matmul(
    a: Array, b: Array, *, out: Array, transpose_a: bool = False, transpose_b: bool = False
) -> None:
    """out = op(a) @ op(b); see spec. BLAS reads a transposed view as it stands."""
    a = a if a.flags.f_contiguous else contiguous("dense.a", a)
    b = b if b.flags.f_contiguous else contiguous("dense.b", b)
    np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)
