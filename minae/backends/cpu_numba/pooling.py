"""Pooling and upsampling, each window while it is in cache.

Plain form: `cpu_numpy/pooling.py`, for each place of a window passes over all windows. Here windows
are taken one by one, each for a run of B samples at once (`sample_last.py`), and clipped to the
image, so that nothing is padded. The blocks of upsampling are windows that do not overlap.
"""

from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numba.sample_last import (
    chunks,
    like_sample_last,
    sample_first,
    sample_last,
)
from minae.backends.cpu_numpy.arrays import contiguous
from minae.backends.spec import Array, Pair


def max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array, argmax: Array
) -> None:
    """out = max over each window. Plain form: `cpu_numpy.pooling.max_pool2d_forward`."""
    x = contiguous("pooling.x", x)
    for chunk, B in chunks(x, out):
        x_last = sample_last("pooling.x_last", x[chunk], B)
        y_last = like_sample_last("pooling.y_last", out[chunk], B)
        argmax_last = like_sample_last("pooling.argmax_last", argmax[chunk], B)
        _max_pool2d_forward(x_last, kernel, stride, padding, B, y_last, argmax_last)
        sample_first(y_last, out=out[chunk])
        sample_first(argmax_last, out=argmax[chunk])


def max_pool2d_backward(
    dy: Array, argmax: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = 0, then dy to the winners. Plain form: `cpu_numpy.pooling.max_pool2d_backward`."""
    dy, argmax = contiguous("pooling.dy", dy), contiguous("pooling.argmax", argmax)
    for chunk, B in chunks(dy, out):
        dy_last = sample_last("pooling.y_last", dy[chunk], B)
        argmax_last = sample_last("pooling.argmax_last", argmax[chunk], B)
        dx_last = like_sample_last("pooling.x_last", out[chunk], B)
        _max_pool2d_backward(dy_last, argmax_last, kernel, stride, padding, B, dx_last)
        sample_first(dx_last, out=out[chunk])


def avg_pool2d_forward(x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array) -> None:
    """out = mean over each window. Plain form: `cpu_numpy.pooling.avg_pool2d_forward`."""
    _sum_windows(x, kernel, stride, padding, 1 / (kernel[0] * kernel[1]), out)


def avg_pool2d_backward(
    dy: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = dy spread over its window. Plain form: `cpu_numpy.pooling.avg_pool2d_backward`."""
    _spread_over_windows(dy, kernel, stride, padding, 1 / (kernel[0] * kernel[1]), out)


def upsample2d_forward(x: Array, scale: Pair, *, out: Array) -> None:
    """out = each x spread over a block. Plain form: `cpu_numpy.pooling.upsample2d_forward`."""
    _spread_over_windows(x, scale, scale, (0, 0), 1, out)


def upsample2d_backward(dy: Array, scale: Pair, *, out: Array) -> None:
    """out = sum over each block. Plain form: `cpu_numpy.pooling.upsample2d_backward`."""
    _sum_windows(dy, scale, scale, (0, 0), 1, out)


def _sum_windows(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, factor: float, out: Array
) -> None:
    """out = factor · sum over each window of x."""
    x = contiguous("pooling.x", x)
    for chunk, B in chunks(x, out):
        x_last = sample_last("pooling.x_last", x[chunk], B)
        y_last = like_sample_last("pooling.y_last", out[chunk], B)
        _window_sums(x_last, kernel, stride, padding, x.dtype.type(factor), B, y_last)
        sample_first(y_last, out=out[chunk])


def _spread_over_windows(
    dy: Array, kernel: Pair, stride: Pair, padding: Pair, factor: float, out: Array
) -> None:
    """out = 0, then factor · dy is added all over its window: the adjoint of _sum_windows."""
    dy = contiguous("pooling.dy", dy)
    for chunk, B in chunks(dy, out):
        dy_last = sample_last("pooling.y_last", dy[chunk], B)
        dx_last = like_sample_last("pooling.x_last", out[chunk], B)
        _window_spread(dy_last, kernel, stride, padding, dy.dtype.type(factor), B, dx_last)
        sample_first(dx_last, out=out[chunk])


@elementwise
def _inside(place: int, size: int, kernel: int, stride: int, padding: int) -> tuple[int, int, int]:
    """Along one axis: where the window of output `place` starts, possibly in the padding, and
    between which of its places it lies inside the image."""
    start = place * stride - padding
    return start, max(0, -start), min(kernel, size - start)


@elementwise
def _max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, B: int, y: Array, argmax: Array
) -> None:
    C, H, W, _ = x.shape
    C, OH, OW, _ = y.shape
    for c in range(C):
        for i in range(OH):
            top, a0, a1 = _inside(i, H, kernel[0], stride[0], padding[0])
            for j in range(OW):
                left, b0, b1 = _inside(j, W, kernel[1], stride[1], padding[1])
                for n in range(B):
                    y[c, i, j, n] = x[c, top + a0, left + b0, n]
                    argmax[c, i, j, n] = a0 * kernel[1] + b0
                for a in range(a0, a1):
                    for b in range(b0, b1):
                        place = a * kernel[1] + b
                        for n in range(B):
                            v, most = x[c, top + a, left + b, n], y[c, i, j, n]
                            before = argmax[c, i, j, n]
                            wins = (v > most) | ((v != v) & (most == most))  # the first NaN wins
                            y[c, i, j, n] = v if wins else most
                            argmax[c, i, j, n] = place if wins else before


@elementwise
def _max_pool2d_backward(
    dy: Array, argmax: Array, kernel: Pair, stride: Pair, padding: Pair, B: int, dx: Array
) -> None:
    C, OH, OW, _ = dy.shape
    C, H, W, _ = dx.shape
    zero = dy.dtype.type(0)
    for c in range(C):
        _clear(dx, c, B)
        for i in range(OH):
            top, a0, a1 = _inside(i, H, kernel[0], stride[0], padding[0])
            for j in range(OW):
                left, b0, b1 = _inside(j, W, kernel[1], stride[1], padding[1])
                for a in range(a0, a1):
                    for b in range(b0, b1):
                        place = a * kernel[1] + b
                        for n in range(B):
                            g = dy[c, i, j, n]
                            dx[c, top + a, left + b, n] += (
                                g if argmax[c, i, j, n] == place else zero
                            )


@elementwise
def _window_sums(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, factor: float, B: int, y: Array
) -> None:
    C, H, W, _ = x.shape
    C, OH, OW, _ = y.shape
    for c in range(C):
        for i in range(OH):
            top, a0, a1 = _inside(i, H, kernel[0], stride[0], padding[0])
            for j in range(OW):
                left, b0, b1 = _inside(j, W, kernel[1], stride[1], padding[1])
                for n in range(B):
                    y[c, i, j, n] = 0
                for a in range(a0, a1):
                    for b in range(b0, b1):
                        for n in range(B):
                            y[c, i, j, n] += x[c, top + a, left + b, n]
                for n in range(B):
                    y[c, i, j, n] *= factor


@elementwise
def _window_spread(
    dy: Array, kernel: Pair, stride: Pair, padding: Pair, factor: float, B: int, dx: Array
) -> None:
    C, OH, OW, _ = dy.shape
    C, H, W, _ = dx.shape
    for c in range(C):
        _clear(dx, c, B)
        for i in range(OH):
            top, a0, a1 = _inside(i, H, kernel[0], stride[0], padding[0])
            for j in range(OW):
                left, b0, b1 = _inside(j, W, kernel[1], stride[1], padding[1])
                for a in range(a0, a1):
                    for b in range(b0, b1):
                        for n in range(B):
                            dx[c, top + a, left + b, n] += dy[c, i, j, n] * factor


@elementwise
def _clear(x: Array, c: int, B: int) -> None:
    """x[c, :, :, :B] = 0."""
    _, H, W, _ = x.shape
    for i in range(H):
        for j in range(W):
            for n in range(B):
                x[c, i, j, n] = 0
