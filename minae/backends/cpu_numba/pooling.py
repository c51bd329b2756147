"""Pooling and upsampling, each window while it is in cache.

Plain form: `cpu_numpy/pooling.py`, for each place of a window passes over all windows. Here windows
are taken one by one, each for a run of B samples at once (`sample_last.py`), and clipped to the
image, so that nothing is padded. The blocks of upsampling are windows that do not overlap. Each
thread takes a part of the samples.
"""

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import elementwise, threaded
from minae.backends.cpu_numba.sample_last import (
    like_sample_last,
    portions,
    sample_first,
    sample_last,
    share_of_runs,
)
from minae.backends.cpu_numba.scratch_of_parts import part_of
from minae.backends.spec import Array, Pair


def max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array, argmax: Array
) -> None:
    """out = max over each window. Plain form: `cpu_numpy.pooling.max_pool2d_forward`."""
    parts, B = portions(x, out)
    x_last = like_sample_last("pooling.x_last", x, parts, B)
    y_last = like_sample_last("pooling.y_last", out, parts, B)
    argmax_last = like_sample_last("pooling.argmax_last", argmax, parts, B)
    x = contiguous("pooling.x", x)
    _max_pool2d_forward(
        parts, x, kernel, stride, padding, B, x_last, y_last, argmax_last, out, argmax
    )


def max_pool2d_backward(
    dy: Array, argmax: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
) -> None:
    """out = 0, then dy to the winners. Plain form: `cpu_numpy.pooling.max_pool2d_backward`."""
    parts, B = portions(dy, out)
    dy_last = like_sample_last("pooling.y_last", dy, parts, B)
    argmax_last = like_sample_last("pooling.argmax_last", argmax, parts, B)
    dx_last = like_sample_last("pooling.x_last", out, parts, B)
    dy, argmax = contiguous("pooling.dy", dy), contiguous("pooling.argmax", argmax)
    _max_pool2d_backward(
        parts, dy, argmax, kernel, stride, padding, B, dy_last, argmax_last, dx_last, out
    )


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
    parts, B = portions(x, out)
    x_last = like_sample_last("pooling.x_last", x, parts, B)
    y_last = like_sample_last("pooling.y_last", out, parts, B)
    x = contiguous("pooling.x", x)
    _sums(parts, x, kernel, stride, padding, x.dtype.type(factor), B, x_last, y_last, out)


def _spread_over_windows(
    dy: Array, kernel: Pair, stride: Pair, padding: Pair, factor: float, out: Array
) -> None:
    """out = 0, then factor · dy is added all over its window: the adjoint of _sum_windows."""
    parts, B = portions(dy, out)
    dy_last = like_sample_last("pooling.y_last", dy, parts, B)
    dx_last = like_sample_last("pooling.x_last", out, parts, B)
    dy = contiguous("pooling.dy", dy)
    _spread(parts, dy, kernel, stride, padding, dy.dtype.type(factor), B, dy_last, dx_last, out)


# Below: arrays (N, C, H, W) in parts, and of each part the same of a chunk as (C, H, W, B + gap).


@threaded
def _max_pool2d_forward(
    part: int,
    parts: int,
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    B: int,
    x_last: Array,
    y_last: Array,
    argmax_last: Array,
    y: Array,
    argmax: Array,
) -> None:
    x_last, y_last = part_of(x_last, part), part_of(y_last, part)
    argmax_last = part_of(argmax_last, part)
    first, end = share_of_runs(part, parts, len(x))
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(x[chunk], x_last)
        _maxima(x_last, kernel, stride, padding, b, y_last, argmax_last)
        sample_first(y_last, y[chunk])
        sample_first(argmax_last, argmax[chunk])


@threaded
def _max_pool2d_backward(
    part: int,
    parts: int,
    dy: Array,
    argmax: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    B: int,
    dy_last: Array,
    argmax_last: Array,
    dx_last: Array,
    dx: Array,
) -> None:
    dy_last, dx_last = part_of(dy_last, part), part_of(dx_last, part)
    argmax_last = part_of(argmax_last, part)
    first, end = share_of_runs(part, parts, len(dy))
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(dy[chunk], dy_last)
        sample_last(argmax[chunk], argmax_last)
        _to_winners(dy_last, argmax_last, kernel, stride, padding, b, dx_last)
        sample_first(dx_last, dx[chunk])


@threaded
def _sums(
    part: int,
    parts: int,
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    factor: float,
    B: int,
    x_last: Array,
    y_last: Array,
    y: Array,
) -> None:
    x_last, y_last = part_of(x_last, part), part_of(y_last, part)
    first, end = share_of_runs(part, parts, len(x))
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(x[chunk], x_last)
        _window_sums(x_last, kernel, stride, padding, factor, b, y_last)
        sample_first(y_last, y[chunk])


@threaded
def _spread(
    part: int,
    parts: int,
    dy: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    factor: float,
    B: int,
    dy_last: Array,
    dx_last: Array,
    dx: Array,
) -> None:
    dy_last, dx_last = part_of(dy_last, part), part_of(dx_last, part)
    first, end = share_of_runs(part, parts, len(dy))
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(dy[chunk], dy_last)
        _window_spread(dy_last, kernel, stride, padding, factor, b, dx_last)
        sample_first(dx_last, dx[chunk])


@elementwise
def _inside(place: int, size: int, kernel: int, stride: int, padding: int) -> tuple[int, int, int]:
    """Along one axis: where the window of output `place` starts, possibly in the padding, and
    between which of its places it lies inside the image."""
    start = place * stride - padding
    return start, max(0, -start), min(kernel, size - start)


@elementwise
def _maxima(
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
def _to_winners(
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
