"""The taps of a convolution: what one place is the sum of, and sums over them.

A tap is a place of an image and the place of the kernel whose weights it is multiplied with, for
each channel and each output channel. Arrays have the sample as last axis (`sample_last.py`).
"""

from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.conv2d_tiles import (
    MANY,
    add_products,
    long_sum_of_taps,
    sum_of_taps,
    sums_of_taps,
)
from minae.backends.cpu_numba.jit import elementwise, reduction
from minae.backends.cpu_numba.vectors import OUTPUTS
from minae.backends.spec import Array, Pair


@elementwise
def window_taps(
    size: Pair,
    i: int,
    j: int,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    taps: Array,
) -> int:
    """Taps of output (i, j), what it reads: places of an image in taps[0], of the kernel in
    taps[1]."""
    H, W = size
    KH, KW = kernel
    count = 0
    for a in range(KH):
        p = i * stride[0] + a * dilation[0] - padding[0]
        for b in range(KW):
            q = j * stride[1] + b * dilation[1] - padding[1]
            if 0 <= p < H and 0 <= q < W:
                taps[0, count] = p * W + q
                taps[1, count] = a * KW + b
                count += 1
    return count


@elementwise
def reader_taps(
    size: Pair,
    p: int,
    q: int,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    taps: Array,
) -> int:
    """Taps of place (p, q) of the padded input, what reads it: places of an output image in
    taps[0], of the kernel in taps[1]."""
    OH, OW = size
    KH, KW = kernel
    count = 0
    i, i_rest = divmod(p, stride[0])
    for a in range(KH):  # p - a·DH = i·SH + i_rest, without a division for each a
        if i_rest == 0 and 0 <= i < OH:
            j, j_rest = divmod(q, stride[1])
            for b in range(KW):
                if j_rest == 0 and 0 <= j < OW:
                    taps[0, count] = i * OW + j
                    taps[1, count] = a * KW + b
                    count += 1
                j_rest -= dilation[1]
                while j_rest < 0:
                    j, j_rest = j - 1, j_rest + stride[1]
        i_rest -= dilation[0]
        while i_rest < 0:
            i, i_rest = i - 1, i_rest + stride[0]
    return count


@elementwise
def with_channels(
    taps: Array, count: int, first: int, channels: int, L: int, T: int, pairs: Array
) -> int:
    """Rows of x (C·L, ...) and of dw (C·T, ...) for each tap and channel."""
    for t in range(count):
        for c in range(channels):
            pairs[0, t * channels + c] = (first + c) * L + taps[0, t]
            pairs[1, t * channels + c] = c * T + taps[1, t]
    return count * channels


@elementwise
def weighted_sums(
    x: Array, w: Array, taps: Array, count: int, C: int, L: int, rows: Array, B: int, y: Array
) -> None:
    """y[rows[k]] = Σ over t < count, c < C of w[taps[1, t]·C + c, k] x[c·L + taps[0, t]], rows of
    B numbers, for every k."""
    K = w.shape[1]
    whole = K - K % OUTPUTS
    vector = VECTOR_BYTES // x.itemsize
    for n in range(0, B, 2 * vector):
        for k in range(0, whole, OUTPUTS):
            sums_of_taps(x, w, taps, count, C, L, n, k, rows, y)
    long = B - B % (MANY * vector)
    for k in range(whole, K):
        for n in range(0, long, MANY * vector):
            long_sum_of_taps(x, w, taps, count, C, L, n, k, rows, y)
        for n in range(long, B, 2 * vector):
            sum_of_taps(x, w, taps, count, C, L, n, k, rows, y)


@reduction
def add_tap_products(
    x: Array, dy: Array, taps: Array, count: int, first: int, step: int, B: int, dw: Array
) -> None:
    """dw[taps[1, t], k] += <x[taps[0, t]], dy[first + k·step]>, rows of B numbers, all k and t."""
    K = dw.shape[1]
    zero = x.dtype.type(0)
    for t in range(0, count, 4):
        x0, x1, x2, x3 = taps[0, t], taps[0, t + 1], taps[0, t + 2], taps[0, t + 3]
        w0, w1, w2, w3 = taps[1, t], taps[1, t + 1], taps[1, t + 2], taps[1, t + 3]
        for k in range(0, K - K % 4, 4):
            add_products(x, dy, taps, t, first + k * step, step, B, k, dw)
        for k in range(K - K % 4, K):
            y0 = first + k * step
            w00 = w10 = w20 = w30 = zero
            for n in range(B):
                g0 = dy[y0, n]
                w00, w10 = w00 + x[x0, n] * g0, w10 + x[x1, n] * g0
                w20, w30 = w20 + x[x2, n] * g0, w30 + x[x3, n] * g0
            dw[w0, k] += w00
            dw[w1, k] += w10
            dw[w2, k] += w20
            dw[w3, k] += w30
