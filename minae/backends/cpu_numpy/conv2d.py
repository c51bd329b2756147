"""Convolution and its two gradients as matrix products over columns (im2col, col2im).

A column holds the window of x that one output position reads, so a convolution is the product
of the weights and all columns, for each group:  y (K/G, N·L) = w (K/G, C/G·KH·KW) @ columns.
The gradients are the products with the transposes. Derivation: `reference/conv2d.py`.
"""

import numpy as np

from minae.backends.cpu_numpy.arrays import add_into, contiguous, scratch
from minae.backends.spec import Array, Pair


def pad(x: Array, padding: Pair, value: float) -> Array:
    """x (N, C, H, W) in a margin of `value`, in scratch; x itself where there is no padding."""
    if padding == (0, 0):
        return x
    N, C, H, W = x.shape
    PH, PW = padding
    padded = scratch("conv2d.padded", (N, C, H + 2 * PH, W + 2 * PW), x.dtype)
    padded.fill(value)
    np.copyto(padded[:, :, PH : PH + H, PW : PW + W], x)
    return padded


def crop(padded: Array, padding: Pair, *, out: Array) -> None:
    """out = padded without its margin."""
    if padded is not out:
        PH, PW = padding
        np.copyto(out, padded[:, :, PH : PH + out.shape[2], PW : PW + out.shape[3]])


def reads(x: Array, a: int, b: int, positions: Pair, stride: Pair) -> Array:
    """What all positions read of a padded x (N, C, ., .) at offset (a, b): view (N, C, OH, OW)."""
    (OH, OW), (SH, SW) = positions, stride
    return x[:, :, a : a + SH * (OH - 1) + 1 : SH, b : b + SW * (OW - 1) + 1 : SW]


def _columns(
    x: Array, kernel: Pair, positions: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """im2col: windows of x (N, C, H, W) as scratch (C, KH, KW, N, OH, OW)."""
    N, C = x.shape[:2]
    x = pad(x, padding, 0)
    columns = scratch("conv2d.columns", (C, *kernel, N, *positions), x.dtype)
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            read = reads(x, a * dilation[0], b * dilation[1], positions, stride)
            np.copyto(columns[:, a, b], read.transpose(1, 0, 2, 3))  # (C, N, OH, OW)
    return columns


def _channels_first(dy: Array) -> Array:
    """dy (N, K, OH, OW) as scratch (K, N, OH, OW)."""
    N, K, OH, OW = dy.shape
    rows = scratch("conv2d.rows", (K, N, OH, OW), dy.dtype)
    np.copyto(rows, dy.transpose(1, 0, 2, 3))
    return rows


def conv2d_forward(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array,
) -> None:
    """out = cross-correlation of x with w; see spec."""
    N, K, OH, OW = out.shape
    G, L = groups, OH * OW
    columns = _columns(x, w.shape[2:], (OH, OW), stride, padding, dilation)
    columns = columns.reshape(G, -1, N * L)  # (G, C/G·KH·KW, N·L)
    w = contiguous("conv2d.w", w).reshape(G, K // G, -1)  # (G, K/G, C/G·KH·KW)
    rows = scratch("conv2d.rows", (G, K // G, N * L), out.dtype)
    np.matmul(w, columns, out=rows)
    np.copyto(out, rows.reshape(K, N, OH, OW).transpose(1, 0, 2, 3))  # (N, K, OH, OW)


def conv2d_input_gradient(
    dy: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array,
) -> None:
    """out = gradient of conv2d_forward in x; see spec."""
    N, K, OH, OW = dy.shape
    C = out.shape[1]
    KH, KW = w.shape[2:]
    G, L = groups, OH * OW
    rows = _channels_first(dy).reshape(G, K // G, N * L)  # (G, K/G, N·L)
    w = contiguous("conv2d.w", w).reshape(G, K // G, -1)  # (G, K/G, C/G·KH·KW)
    columns = scratch("conv2d.columns", (C, KH, KW, N, OH, OW), out.dtype)
    np.matmul(w.transpose(0, 2, 1), rows, out=columns.reshape(G, -1, N * L))
    out.fill(0)
    padded = pad(out, padding, 0)
    for a in range(KH):  # col2im
        for b in range(KW):
            read = reads(padded, a * dilation[0], b * dilation[1], (OH, OW), stride)
            add_into(read.transpose(1, 0, 2, 3), columns[:, a, b])  # (C, N, OH, OW)
    crop(padded, padding, out=out)


def conv2d_weight_gradient(
    x: Array,
    dy: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array,
) -> None:
    """out = gradient of conv2d_forward in w; see spec."""
    N, K, OH, OW = dy.shape
    G, L = groups, OH * OW
    columns = _columns(x, out.shape[2:], (OH, OW), stride, padding, dilation)
    columns = columns.reshape(G, -1, N * L)  # (G, C/G·KH·KW, N·L)
    rows = _channels_first(dy).reshape(G, K // G, N * L)  # (G, K/G, N·L)
    np.matmul(rows, columns.transpose(0, 2, 1), out=out.reshape(G, K // G, -1))
