"""Clipping of the whole gradient by its norm. Derivation: `reference/clip.py`."""

from math import sqrt

import numpy as np

from minae.backends.cpu_numpy.arrays import in_double, scratch
from minae.backends.spec import Array


def clip_by_norm(dw: Array, max_norm: float, *, norm: Array) -> None:
    """norm[0] = ‖dw‖₂;  dw *= min(1, max_norm / (norm + 1e-6)); see spec."""
    double = in_double("clip.double", dw)
    squares = scratch("clip.squares", dw.shape, np.float64)
    np.multiply(double, double, out=squares)
    length = sqrt(np.add.reduce(squares))
    norm[0] = length
    factor = max_norm / (length + 1e-6)
    if factor < 1:
        np.multiply(dw, factor, out=dw)
