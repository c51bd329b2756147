"""Pooling and upsampling: whole-array steps, one for each place of a window.

At place (a, b) all windows together read one strided slice of x. Derivation:
`reference/pooling.py`.
"""

import numpy as np

from minae.backends.cpu_numpy.arrays import add_into, contiguous, scratch
from minae.backends.cpu_numpy.conv2d import crop, pad, reads
from minae.backends.spec import Array, Pair


def max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array, argmax: Array
) -> None:
    """out = max over each window, argmax = its place in the window; see spec."""
    KH, KW = kernel
    x = pad(x, padding, -np.inf)
    candidate = scratch("pooling.values", out.shape, out.dtype)
    wins = scratch("pooling.wins", out.shape, np.bool_)
    won = scratch("pooling.won", out.shape, np.int32)
    out.fill(-np.inf)
    _first_pixels(kernel, stride, padding, out=argmax)
    for place in range(KH * KW):
        np.copyto(candidate, reads(x, place // KW, place % KW, out.shape[2:], stride))
        np.greater(candidate, out, out=wins)
        np.copyto(won, wins)
        np.multiply(won, place, out=won)
        np.maximum(argmax, won, out=argmax)  # places ascend: the last to win is the largest
        np.maximum(out, candidate, out=out)
    np.isnan(out, out=wins)
    if wins.any():  # of a run that diverged: the first NaN has won
        for place in reversed(range(KH * KW)):
            np.isnan(reads(x, place // KW, place % KW, out.shape[2:], stride), out=wins)
            np.copyto(argmax, place, where=wins)


def _first_pixels(kernel: Pair, stride: Pair, padding: Pair, *, out: Array) -> None:
    """out (N, C, OH, OW) = the place of the first pixel of each window that is no padding."""
    OH, OW = out.shape[2:]
    first = scratch("pooling.first", (OH, OW), np.int32)
    first.fill(0)
    for i in range(min(OH, -(-padding[0] // stride[0]))):
        first[i] += (padding[0] - i * stride[0]) * kernel[1]
    for j in range(min(OW, -(-padding[1] // stride[1]))):
        first[:, j] += padding[1] - j * stride[1]
    np.copyto(out, first)


def max_pool2d_backward(
    dy: Array, argmax: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = each dy at the place that won; see spec."""
    KH, KW = kernel
    dy = contiguous("pooling.dy", dy)
    argmax = contiguous("pooling.argmax", argmax)
    out.fill(0)
    padded = pad(out, padding, 0)
    share = scratch("pooling.values", dy.shape, dy.dtype)
    won = scratch("pooling.wins", dy.shape, np.bool_)
    for place in range(KH * KW):
        np.equal(argmax, place, out=won)
        np.copyto(share, won)
        np.multiply(share, dy, out=share)
        add_into(reads(padded, place // KW, place % KW, dy.shape[2:], stride), share)
    crop(padded, padding, out=out)


def avg_pool2d_forward(x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array) -> None:
    """out = mean over each window; see spec."""
    KH, KW = kernel
    x = pad(x, padding, 0)
    values = scratch("pooling.values", out.shape, out.dtype)
    out.fill(0)
    for place in range(KH * KW):
        np.copyto(values, reads(x, place // KW, place % KW, out.shape[2:], stride))
        np.add(out, values, out=out)
    np.multiply(out, 1 / (KH * KW), out=out)


def avg_pool2d_backward(
    dy: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = sums of dy / (KH·KW) over windows; see spec."""
    KH, KW = kernel
    out.fill(0)
    padded = pad(out, padding, 0)
    share = scratch("pooling.values", dy.shape, dy.dtype)
    np.multiply(contiguous("pooling.dy", dy), 1 / (KH * KW), out=share)
    for place in range(KH * KW):
        add_into(reads(padded, place // KW, place % KW, dy.shape[2:], stride), share)
    crop(padded, padding, out=out)


def upsample2d_forward(x: Array, scale: Pair, *, out: Array) -> None:
    """out = each x repeated over an SH×SW block; see spec."""
    for a in range(scale[0]):
        for b in range(scale[1]):
            np.copyto(out[:, :, a :: scale[0], b :: scale[1]], x)


def upsample2d_backward(dy: Array, scale: Pair, *, out: Array) -> None:
    """out = sum of dy over each SH×SW block; see spec."""
    values = scratch("pooling.values", out.shape, out.dtype)
    out.fill(0)
    for a in range(scale[0]):
        for b in range(scale[1]):
            np.copyto(values, dy[:, :, a :: scale[0], b :: scale[1]])
            np.add(out, values, out=out)
