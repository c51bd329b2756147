"""Stochastic gradient descent with momentum, one pass over all parameters."""

from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numpy.arrays import contiguous
from minae.backends.spec import Array


def sgd(
    w: Array,
    dw: Array,
    velocity: Array,
    lr: Array,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """g = dw + weight_decay w;  velocity = momentum velocity + g;
    w -= lr (g + momentum velocity if nesterov else velocity).

    Plain form: `cpu_numpy.sgd.sgd`, a pass for each operation.
    """
    dw = contiguous("sgd.dw", dw)
    _sgd(w, dw, velocity, lr, float(momentum), float(weight_decay), nesterov)


@elementwise
def _sgd(
    w: Array,
    dw: Array,
    velocity: Array,
    lr: Array,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    rate = w.dtype.type(lr[0])
    mu = w.dtype.type(momentum)
    decay = w.dtype.type(weight_decay)
    for i in range(len(w)):
        g = dw[i] + decay * w[i]
        u = mu * velocity[i] + g
        velocity[i] = u
        w[i] -= rate * (g + mu * u if nesterov else u)
