"""Dropout with a given mask. Derivation: `reference/dropout.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous
from minae.backends.spec import Array


def dropout_forward(x: Array, mask: Array, keep: float, *, out: Array) -> None:
    """out = x ⊙ mask / keep; see spec."""
    np.multiply(contiguous("dropout.x", x), contiguous("dropout.mask", mask), out=out)
    np.multiply(out, 1 / keep, out=out)


def dropout_backward(dy: Array, mask: Array, keep: float, *, out: Array) -> None:
    """out = dy ⊙ mask / keep; see spec."""
    dropout_forward(dy, mask, keep, out=out)
