"""Pooling and upsampling, a thread for each element written. Plain form: `cpu_numpy/pooling.py`."""

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array, Pair


def max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array, argmax: Array
) -> None:
    """out = max over each window, argmax = its place in the window; see spec."""
    windows = (*x.shape[2:], *out.shape[2:], *kernel, *stride, *padding)
    x = contiguous("pooling.x", x)
    blocks = for_each(out.size)
    launch("pooling", "max_pool2d_forward", x.dtype, blocks, x, out.size, *windows, out, argmax)


def max_pool2d_backward(
    dy: Array, argmax: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = each dy at the place that won; see spec."""
    windows = (*out.shape[2:], *dy.shape[2:], *kernel, *stride, *padding)
    dy, argmax = contiguous("pooling.dy", dy), contiguous("pooling.argmax", argmax)
    blocks = for_each(out.size)
    launch("pooling", "max_pool2d_backward", dy.dtype, blocks, dy, argmax, out.size, *windows, out)


def avg_pool2d_forward(x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array) -> None:
    """out = mean over each window; see spec."""
    windows = (*x.shape[2:], *out.shape[2:], *kernel, *stride, *padding)
    x = contiguous("pooling.x", x)
    launch("pooling", "avg_pool2d_forward", x.dtype, for_each(out.size), x, out.size, *windows, out)


def avg_pool2d_backward(
    dy: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = sums of dy / (KH·KW) over windows; see spec."""
    windows = (*out.shape[2:], *dy.shape[2:], *kernel, *stride, *padding)
    dy = contiguous("pooling.dy", dy)
    blocks = for_each(out.size)
    launch("pooling", "avg_pool2d_backward", dy.dtype, blocks, dy, out.size, *windows, out)


def upsample2d_forward(x: Array, scale: Pair, *, out: Array) -> None:
    """out = each x repeated over an SH×SW block; see spec."""
    size = (*x.shape[2:], *scale)
    x = contiguous("pooling.x", x)
    launch("pooling", "upsample2d_forward", x.dtype, for_each(out.size), x, out.size, *size, out)


def upsample2d_backward(dy: Array, scale: Pair, *, out: Array) -> None:
    """out = sum of dy over each SH×SW block; see spec."""
    size = (out.shape[3], *scale)
    dy = contiguous("pooling.dy", dy)
    launch("pooling", "upsample2d_backward", dy.dtype, for_each(out.size), dy, out.size, *size, out)
