"""RMSProp. Derivation: `reference/rmsprop.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import scratch
from minae.backends.cpu_numpy.sgd import decayed
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
    update = scratch("rmsprop.update", w.shape, w.dtype)
    g = decayed(dw, w, weight_decay)
    np.multiply(v, alpha, out=v)
    np.multiply(g, g, out=update)
    np.multiply(update, 1 - alpha, out=update)
    np.add(v, update, out=v)
    np.sqrt(v, out=update)
    np.add(update, eps, out=update)
    np.divide(g, update, out=update)
    np.multiply(update, float(lr[0]), out=update)
    np.subtract(w, update, out=w)
