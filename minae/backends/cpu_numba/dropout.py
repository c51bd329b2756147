"""Dropout with a given mask, one pass each way."""

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import threaded
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.spec import Array


def dropout_forward(x: Array, mask: Array, keep: float, *, out: Array) -> None:
    """out = x ⊙ mask / keep. Plain form: `cpu_numpy.dropout.dropout_forward`, two passes."""
    x_or_none = None if x is out else contiguous("dropout.x", x).reshape(-1)
    mask = contiguous("dropout.mask", mask).reshape(-1)
    count, factor = parts(out.size, out.size), out.dtype.type(1 / keep)
    _dropout(count, x_or_none, mask, factor, out.reshape(-1))


def dropout_backward(dy: Array, mask: Array, keep: float, *, out: Array) -> None:
    """out = dy ⊙ mask / keep. Plain form: `cpu_numpy.dropout.dropout_backward`."""
    dropout_forward(dy, mask, keep, out=out)


@threaded
def _dropout(part: int, parts: int, x: Array | None, mask: Array, scale: float, y: Array) -> None:
    first, end = share(part, parts, len(y))
    # arrays whose places are counted from 0: of others no vectors are made
    mask_, y_ = mask[first:end], y[first:end]
    source = y_ if x is None else x[first:end]
    for i in range(len(y_)):
        y_[i] = source[i] * mask_[i] * scale
