"""RMSprop, one pass over parameters, gradients and mean squares."""

import math

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import threaded
from minae.backends.cpu_numba.threads import parts, share
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
    """g = dw + weight_decay w;  v = alpha v + (1 - alpha) g²;  w -= lr g / (√v + eps).

    Plain form: `cpu_numpy.rmsprop.rmsprop`, a pass for each operation.
    """
    dw = contiguous("rmsprop.dw", dw)
    rates = float(alpha), float(eps), float(weight_decay)
    _rmsprop(parts(w.size, w.size), w, dw, v, lr, *rates)


@threaded
def _rmsprop(
    part: int,
    parts: int,
    w: Array,
    dw: Array,
    v: Array,
    lr: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None:
    number = w.dtype.type
    rate, epsilon, decay = number(lr[0]), number(eps), number(weight_decay)
    a, c = number(alpha), number(1.0 - alpha)
    first, end = share(part, parts, len(w))
    # as arrays of their own, whose places are counted from 0, they are updated as vectors
    w_, dw_, v_ = w[first:end], dw[first:end], v[first:end]
    for i in range(len(w_)):
        g = dw_[i] + decay * w_[i]
        v_[i] = a * v_[i] + c * (g * g)
        w_[i] -= rate * g / (math.sqrt(v_[i]) + epsilon)
