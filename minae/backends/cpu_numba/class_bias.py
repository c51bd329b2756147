"""What label planes add to an unpadded convolution: a few hundred numbers, on one thread.

Plain form: `cpu_numpy/class_bias.py`. The weights of the planes may be a part of a convolution's.
"""

from minae.backends.cpu_numba.jit import serial
from minae.backends.spec import Array


def class_bias_forward(w: Array, *, out: Array) -> None:
    """out[k,c] = Σ_{a,b} w[k,c,a,b]. Plain form: `cpu_numpy.class_bias.class_bias_forward`."""
    _class_bias_forward(w, out)


def class_bias_backward(dtable: Array, *, out: Array) -> None:
    """out[k,c,a,b] = dtable[k,c]. Plain form: `cpu_numpy.class_bias.class_bias_backward`."""
    _class_bias_backward(dtable, out)


@serial
def _class_bias_forward(w: Array, out: Array) -> None:
    K, C, KH, KW = w.shape
    for k in range(K):
        for c in range(C):
            total = w.dtype.type(0)
            for a in range(KH):
                for b in range(KW):
                    total += w[k, c, a, b]
            out[k, c] = total


@serial
def _class_bias_backward(dtable: Array, out: Array) -> None:
    K, C, KH, KW = out.shape
    for k in range(K):
        for c in range(C):
            for a in range(KH):
                for b in range(KW):
                    out[k, c, a, b] = dtable[k, c]
