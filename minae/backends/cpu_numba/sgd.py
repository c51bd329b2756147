"""Stochastic gradient descent with momentum, one pass over all parameters."""

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import threaded
from minae.backends.cpu_numba.threads import parts, share
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
    rates = float(momentum), float(weight_decay)
    _sgd(parts(w.size, w.size), w, dw, velocity, lr, *rates, nesterov)


@threaded
def _sgd(
    part: int,
    parts: int,
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
    first, end = share(part, parts, len(w))
    # as arrays of their own, whose places are counted from 0, they are updated as vectors
    w_, dw_, velocity_ = w[first:end], dw[first:end], velocity[first:end]
    for i in range(len(w_)):
        g = dw_[i] + decay * w_[i]
        u = mu * velocity_[i] + g
        velocity_[i] = u
        w_[i] -= rate * (g + mu * u if nesterov else u)
