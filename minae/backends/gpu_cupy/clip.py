"""Clipping by norm. Plain form: `cpu_numpy/clip.py`. The norm stays on the device."""

import numpy as np

from minae.backends.gpu_cupy.arrays import some_blocks, total
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def clip_by_norm(dw: Array, max_norm: float, *, norm: Array) -> None:
    """norm = ‖dw‖₂;  dw *= min(1, max_norm / (norm + 1e-6)); see spec."""
    n = dw.size
    blocks = some_blocks(n)
    partial, ticket, _, _ = total(blocks, 1.0, norm)
    launch("clip", "norm_of", dw.dtype, blocks, dw, n, partial, ticket, norm)
    launch("clip", "clip", dw.dtype, for_each(n), norm, np.float64(max_norm), n, dw)
