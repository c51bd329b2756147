"""Clipping of the gradient by its norm: one pass for the norm, a second if it is too long."""

import math

import numpy as np

from minae.backends.cpu_numba.jit import serial_reduction
from minae.backends.spec import Array


def clip_by_norm(dw: Array, max_norm: float, *, norm: Array) -> None:
    """norm[0] = ‖dw‖₂;  dw *= min(1, max_norm / (norm + 1e-6)).

    Plain form: `cpu_numpy.clip.clip_by_norm`. The squares are summed in float64.
    """
    _clip_by_norm(dw, float(max_norm), norm)


@serial_reduction
def _clip_by_norm(dw: Array, max_norm: float, norm: Array) -> None:
    total = 0.0
    for i in range(len(dw)):
        g = np.float64(dw[i])
        total += g * g
    norm[0] = math.sqrt(total)
    factor = max_norm / (norm[0] + 1e-6)
    if not factor >= 1:  # also where the norm is NaN
        c = dw.dtype.type(factor)
        for i in range(len(dw)):
            dw[i] *= c
