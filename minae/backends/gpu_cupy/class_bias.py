"""The bias that a constant label plane adds. Plain form: `cpu_numpy/class_bias.py`."""

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def class_bias_forward(w: Array, *, out: Array) -> None:
    """out[k, c] = Σ over the taps of w[k, c]; see spec."""
    taps = w.shape[2] * w.shape[3]
    w = contiguous("class_bias.w", w)
    blocks = for_each(out.size)
    launch("class_bias", "class_bias_forward", out.dtype, blocks, w, out.size, taps, out)


def class_bias_backward(dtable: Array, *, out: Array) -> None:
    """out[k, c, a, b] = dtable[k, c]; see spec."""
    taps = out.shape[2] * out.shape[3]
    dtable = contiguous("class_bias.dtable", dtable)
    blocks = for_each(out.size)
    launch("class_bias", "class_bias_backward", out.dtype, blocks, dtable, out.size, taps, out)
