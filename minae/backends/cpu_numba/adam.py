"""Adam and AdamW: one pass over parameters, gradients and both moments.

Kingma & Ba 2015, https://arxiv.org/abs/1412.6980; Loshchilov & Hutter 2019,
https://arxiv.org/abs/1711.05101.
"""

import math

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import threaded
from minae.backends.cpu_numba.threads import parts, share
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
    """Adam with the decay in the gradient, g = dw + weight_decay w.

    Plain form: `cpu_numpy.adam.adam`, a pass for each operation, 12 in all.
    """
    rates = float(beta1), float(beta2), float(eps), float(weight_decay), 0.0
    _adam(parts(w.size, w.size), w, contiguous("adam.dw", dw), m, v, step, lr, *rates)


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
    """Adam with decoupled decay, w -= lr weight_decay w first.

    Plain form: `cpu_numpy.adam.adamw`.
    """
    rates = float(beta1), float(beta2), float(eps), 0.0, float(weight_decay)
    _adam(parts(w.size, w.size), w, contiguous("adam.dw", dw), m, v, step, lr, *rates)


@threaded
def _adam(
    part: int,
    parts: int,
    w: Array,
    dw: Array,
    m: Array,
    v: Array,
    step: Array,
    lr: Array,
    beta1: float,
    beta2: float,
    eps: float,
    coupled_decay: float,
    decoupled_decay: float,
) -> None:
    number = w.dtype.type
    t = step[0] + 1
    rate = number(lr[0] / (1.0 - beta1**t))
    correction = number(1.0 / math.sqrt(1.0 - beta2**t))
    keep = number(1.0 - lr[0] * decoupled_decay)
    decay = number(coupled_decay)
    epsilon = number(eps)
    b1, b2 = number(beta1), number(beta2)
    c1, c2 = number(1.0 - beta1), number(1.0 - beta2)
    first, end = share(part, parts, len(w))
    # as arrays of their own, whose places are counted from 0, they are updated as vectors
    w_, dw_, m_, v_ = w[first:end], dw[first:end], m[first:end], v[first:end]
    for i in range(len(w_)):
        g = dw_[i] + decay * w_[i]
        m_[i] = b1 * m_[i] + c1 * g
        v_[i] = b2 * v_[i] + c2 * (g * g)
        w_[i] = keep * w_[i] - rate * m_[i] / (math.sqrt(v_[i]) * correction + epsilon)
