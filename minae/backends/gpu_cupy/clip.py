"""Clipping by norm. Plain form: `cpu_numpy/clip.py`. The norm stays on the device."""

import numpy as np

from minae.backends.gpu_cupy.arrays import partials
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def clip_by_norm(dw: Array, max_norm: float, *, norm: Array) -> None:
    """norm = ‖dw‖₂;  dw *= min(1, max_norm / (norm + 1e-6)); see spec."""
    n = dw.size
    blocks, partial = partials(n)
    launch("clip", "sum_of_squares", dw.dtype, blocks, dw, n, partial)
    launch("clip", "norm_of_partials", dw.dtype, 1, partial, blocks, norm)
    launch("clip", "clip", dw.dtype, for_each(n), norm, np.float64(max_norm), n, dw)
