"""Dropout with a given mask. Plain form: `cpu_numpy/dropout.py`."""

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def dropout_forward(x: Array, mask: Array, keep: float, *, out: Array) -> None:
    """out = x ⊙ mask / keep; see spec."""
    x, mask = contiguous("dropout.x", x), contiguous("dropout.mask", mask)
    blocks = for_each(out.size)
    launch("dropout", "dropout", out.dtype, blocks, x, mask, float(keep), out.size, out)


def dropout_backward(dy: Array, mask: Array, keep: float, *, out: Array) -> None:
    """out = dy ⊙ mask / keep; see spec."""
    dropout_forward(dy, mask, keep, out=out)
