"""Adam and AdamW. Derivation: `reference/adam.py`."""

from math import sqrt

import numpy as np

from minae.backends.cpu_numpy.arrays import scratch
from minae.backends.cpu_numpy.sgd import decayed
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
    """w -= lr m̂ / (√v̂ + eps); see spec.

    With r = √(1 - beta2^t) the step is (lr r / (1 - beta1^t)) m / (√v + eps r).
    """
    t = int(step[0]) + 1
    r = sqrt(1 - beta2**t)
    update = scratch("adam.update", w.shape, w.dtype)
    g = decayed(dw, w, weight_decay)

    np.multiply(m, beta1, out=m)
    np.multiply(g, 1 - beta1, out=update)
    np.add(m, update, out=m)

    np.multiply(v, beta2, out=v)
    np.multiply(g, g, out=update)
    np.multiply(update, 1 - beta2, out=update)
    np.add(v, update, out=v)

    np.sqrt(v, out=update)
    np.add(update, eps * r, out=update)
    np.divide(m, update, out=update)
    np.multiply(update, float(lr[0]) * r / (1 - beta1**t), out=update)
    np.subtract(w, update, out=w)


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
    np.multiply(w, 1 - float(lr[0]) * weight_decay, out=w)
    adam(w, dw, m, v, step, lr, beta1, beta2, eps, 0.0)
