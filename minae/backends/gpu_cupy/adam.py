"""Adam and AdamW over the flat vectors, one pass. Plain form: `cpu_numpy/adam.py`.

The step count and learning rate are read on the device, where the corrections 1 - beta^t are made.
"""

import numpy as np

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def adam(
    w: Array,
    dw: Array,
    m: Array,
    v: Array,
    step: Array,
    lr: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """w -= lr m̂ / (√v̂ + eps); see spec."""
    numbers = [np.float64(number) for number in (beta1, beta2, eps, weight_decay)]
    dw, blocks = contiguous("adam.dw", dw), for_each(w.size)
    launch("adam", "adam", w.dtype, blocks, w, dw, m, v, step, lr, *numbers, w.size)


def adamw(
    w: Array,
    dw: Array,
    m: Array,
    v: Array,
    step: Array,
    lr: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """w -= lr weight_decay w, then adam without decay; see spec."""
    numbers = [np.float64(number) for number in (beta1, beta2, eps, weight_decay)]
    dw, blocks = contiguous("adam.dw", dw), for_each(w.size)
    launch("adam", "adamw", w.dtype, blocks, w, dw, m, v, step, lr, *numbers, w.size)
