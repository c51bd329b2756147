"""Stochastic gradient descent with momentum. Derivation: `reference/sgd.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous, scratch
from minae.backends.spec import Array


def decayed(dw: Array, w: Array, weight_decay: float) -> Array:
    """g = dw + weight_decay w, C-contiguous; dw itself where there is no decay."""
    dw = contiguous("sgd.dw", dw)
    if weight_decay == 0:
        return dw
    g = scratch("sgd.g", w.shape, w.dtype)
    np.multiply(w, weight_decay, out=g)
    np.add(g, dw, out=g)
    return g


def sgd(
    w: Array,
    dw: Array,
    velocity: Array,
    lr: Array,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """velocity = momentum velocity + g, and the step along it; see spec."""
    update = scratch("sgd.update", w.shape, w.dtype)
    g = decayed(dw, w, weight_decay)
    np.multiply(velocity, momentum, out=velocity)
    np.add(velocity, g, out=velocity)
    if nesterov:
        np.multiply(velocity, momentum, out=update)
        np.add(update, g, out=update)
        np.multiply(update, float(lr[0]), out=update)
    else:
        np.multiply(velocity, float(lr[0]), out=update)
    np.subtract(w, update, out=w)
