"""RMSProp over the flat vectors, one pass. Plain form: `cpu_numpy/rmsprop.py`."""

import numpy as np

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def rmsprop(
    w: Array,
    dw: Array,
    v: Array,
    lr: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None:
    """v = alpha v + (1 - alpha) g²;  w -= lr g / (√v + eps); see spec."""
    launch(
        "rmsprop",
        "rmsprop",
        w.dtype,
        for_each(w.size),
        w,
        contiguous("rmsprop.dw", dw),
        v,
        lr,
        np.float64(alpha),
        float(eps),
        float(weight_decay),
        w.size,
    )
