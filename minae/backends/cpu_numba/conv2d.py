"""Convolution and its two gradients, straight from their sums: no columns, no matrix product.

Plain form: `cpu_numpy/conv2d.py`, which copies every window into a column (im2col) for BLAS. Here
the sample is the last axis (`sample_last.py`): each place of an image is a run of B numbers, and an
output run is a sum of input runs times weights. The terms of a sum are listed as taps: the place
of the image that is read, and the place of the kernel whose weights it is multiplied with, for each
channel and one of each output channel (`conv2d_taps.py`). So no window is copied, and one form
serves every stride, dilation, padding and number of groups. Each thread takes a part of the
samples. With enough output channels to fill a vector, forward and the weight gradient do better
without turning the batch around (`conv2d_channels.py`).

The gradient in x is taken in patches of F = FH×FW places where the stride divides the kernel, one
place for each phase of the stride: the same outputs read all of a patch, each place by weights of
its own. So it is the gradient of a convolution without stride to C·F channels (pixel shuffle, Shi
et al. 2016, arXiv:1609.05158), and a number of dy is used F times where it is read. For the image
of M3's decoder, C = 1 and F = 9, that took 0.21 ms in place of 0.33.
"""

from functools import cache

import numpy as np

from minae.backends.cpu_numba import conv2d_channels
from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.conv2d_taps import (
    add_tap_products,
    reader_taps,
    weighted_sums,
    window_taps,
    with_channels,
)
from minae.backends.cpu_numba.epilogue import Then, nothing, share_of_blocks
from minae.backends.cpu_numba.jit import elementwise, threaded
from minae.backends.cpu_numba.pool import do_part
from minae.backends.cpu_numba.sample_last import (
    like_sample_last,
    portions,
    runs_of_samples,
    sample_last,
    samples_first,
    share_of_runs,
)
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import share
from minae.backends.spec import Array, Pair


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
    """out = cross-correlation of x with w. Plain form: `cpu_numpy.conv2d.conv2d_forward`."""
    forward(x, w, stride, padding, dilation, groups, then=nothing(len(out)), out=out)


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
    """out = gradient in x. Plain form: `cpu_numpy.conv2d.conv2d_input_gradient`."""
    input_gradient(dy, w, stride, padding, dilation, groups, then=nothing(len(out)), out=out)


def forward(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    then: Then,
    out: Array,
) -> None:
    """`conv2d_forward`, and what there is to do after it."""
    K, C, KH, KW = w.shape
    if conv2d_channels.forward_pays(w, groups, x):
        conv2d_channels.forward(x, w, stride, padding, dilation, groups, then, out)
        return
    parts, B = portions(x, out, then[0])
    order = _by_windows(groups, K // groups, C, KH, KW)
    w_taps = scratch_of_parts("conv2d.w", parts, order.shape, w.dtype)
    taps = scratch_of_parts("conv2d.taps", parts, (2, KH * KW), np.int64)
    rows = scratch_of_parts("conv2d.sums", parts, (K // groups,), np.int64)
    x_last = like_sample_last("conv2d.x_last", x, parts, B)
    y_last = like_sample_last("conv2d.y_last", out, parts, B)
    x, w = contiguous("conv2d.x", x), contiguous("conv2d.w_contiguous", w)
    _forward(
        *(parts, x, w.reshape(-1), stride, padding, dilation, order.reshape(-1), w_taps),
        *(taps, rows, B, x_last, y_last),
        *(*then, out),
    )


def input_gradient(
    dy: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    then: Then,
    out: Array,
) -> None:
    """`conv2d_input_gradient`, and what there is to do after it."""
    K, C, KH, KW = w.shape
    FH, FW = _patch((KH, KW), stride, dilation)
    parts, B = portions(out, dy, then[0])
    order = _by_readers(groups, K // groups, C, KH, KW, FH, FW)
    w_taps = scratch_of_parts("conv2d.w", parts, order.shape, w.dtype)
    taps = scratch_of_parts("conv2d.taps", parts, (2, KH * KW), np.int64)
    rows = scratch_of_parts("conv2d.sums", parts, (FH * FW * C,), np.int64)
    dy_last = like_sample_last("conv2d.y_last", dy, parts, B)
    dx_last = runs_of_samples("conv2d.x_last", out[0].size + 1, parts, B, out.dtype)
    dy, w = contiguous("conv2d.dy", dy), contiguous("conv2d.w_contiguous", w)
    _input_gradient(
        *(parts, dy, w.reshape(-1), stride, padding, dilation, (FH, FW)),
        *(order.reshape(-1), w_taps, taps, rows, B, dy_last, dx_last, *then, out),
    )


def _patch(kernel: Pair, stride: Pair, dilation: Pair) -> Pair:
    """(FH, FW): the stride if it divides the kernel, else one place."""
    divides = kernel[0] % stride[0] == 0 and kernel[1] % stride[1] == 0
    return stride if divides and dilation == (1, 1) else (1, 1)


@cache
def _by_windows(G: int, K: int, C: int, KH: int, KW: int) -> Array:
    """(G, KH, KW, C/G, K/G): where the weights of a place of the kernel lie in w."""
    places = np.arange(G * K * C * KH * KW).reshape(G, K, C, KH, KW)
    return np.ascontiguousarray(places.transpose(0, 3, 4, 2, 1))


@cache
def _by_readers(G: int, K: int, C: int, KH: int, KW: int, FH: int, FW: int) -> Array:
    """(G, KH/FH, KW/FW, K/G, F·C/G): where the weights of an output lie in w, by patches."""
    A, B = KH // FH, KW // FW
    places = np.arange(G * K * C * KH * KW).reshape(G, K, C, A, FH, B, FW)
    places = np.ascontiguousarray(places.transpose(0, 3, 5, 1, 4, 6, 2))
    return places.reshape(G, A, B, K, FH * FW * C)


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
    """out = gradient in w. Plain form: `cpu_numpy.conv2d.conv2d_weight_gradient`.

    Runs are multiplied four taps by four output channels at a time, so that each number read is
    used four times. The list of taps and channels is filled up to whole fours; the filling's
    products go to one more row of dw, which is dropped. Each part has a dw of its own; they are
    added in their order.
    """
    K, C, KH, KW = out.shape
    if conv2d_channels.fill(K // groups, x):
        conv2d_channels.weight_gradient(x, dy, stride, padding, dilation, groups, out)
        return
    Q = KH * KW * C
    parts, B = portions(x, dy)
    dw_taps = scratch_of_parts("conv2d.w", parts, (groups, Q + 1, K // groups), out.dtype)
    taps = scratch_of_parts("conv2d.taps", parts, (2, KH * KW), np.int64)
    pairs = scratch_of_parts("conv2d.pairs", parts, (2, Q + 3), np.int64)
    x_last = like_sample_last("conv2d.x_last", x, parts, B)
    dy_last = like_sample_last("conv2d.y_last", dy, parts, B)
    x, dy = contiguous("conv2d.x", x), contiguous("conv2d.dy", dy)
    _weight_gradient(
        *(parts, x, dy, (KH, KW), stride, padding, dilation, taps, pairs),
        *(B, x_last, dy_last, dw_taps),
    )
    conv2d_channels.sum_parts(dw_taps, out.reshape(groups, -1, Q))


# Below: x (N, C, H, W), y (N, K, OH, OW), and of each part x_last (C, H, W, B + gap), y_last
# (K, OH, OW, B + gap), weights as taps need them, its list of taps, and the rows that their sums go
# to; G groups, c and k channels of one.


@threaded
def _forward(
    part: int,
    parts: int,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    order: Array,
    w_taps: Array,
    taps: Array,
    rows: Array,
    B: int,
    x_last: Array,
    y_last: Array,
    blocks: int,
    code: int,
    place: int,
    y: Array,
) -> None:
    x_last, y_last = part_of(x_last, part), part_of(y_last, part)
    w_taps, taps, rows = part_of(w_taps, part), part_of(taps, part), part_of(rows, part)
    K, OH, OW, row = y_last.shape
    places = y_last.reshape(K * OH * OW, row)
    _in_order(w, order, w_taps.reshape(-1))
    first, end = share_of_blocks(part, parts, blocks, len(x))
    done, _ = share(part, parts, blocks)
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(x[chunk], x_last)
        _windows_sums(x_last, w_taps, stride, padding, dilation, taps, rows, b, y_last)
        done = _finish(places, n, min(n + B, end), done, blocks, code, place, y)


@threaded
def _input_gradient(
    part: int,
    parts: int,
    dy: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    patch: Pair,
    order: Array,
    w_taps: Array,
    taps: Array,
    rows: Array,
    B: int,
    dy_last: Array,
    dx_last: Array,
    blocks: int,
    code: int,
    place: int,
    dx: Array,
) -> None:
    dy_last, dx_last = part_of(dy_last, part), part_of(dx_last, part)
    w_taps, taps, rows = part_of(w_taps, part), part_of(taps, part), part_of(rows, part)
    _in_order(w, order, w_taps.reshape(-1))
    first, end = share_of_blocks(part, parts, blocks, len(dy))
    done, _ = share(part, parts, blocks)
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(dy[chunk], dy_last)
        _readers_sums(
            *(dy_last, w_taps, stride, padding, dilation, patch),
            *(taps, rows, b, dx.shape[2:], dx_last),
        )
        done = _finish(dx_last, n, min(n + B, end), done, blocks, code, place, dx)


@threaded
def _weight_gradient(
    part: int,
    parts: int,
    x: Array,
    dy: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    taps: Array,
    pairs: Array,
    B: int,
    x_last: Array,
    dy_last: Array,
    dw: Array,
) -> None:
    x_last, dy_last = part_of(x_last, part), part_of(dy_last, part)
    taps, pairs, dw = part_of(taps, part), part_of(pairs, part), part_of(dw, part)
    dw[:] = 0
    first, end = share_of_runs(part, parts, len(x))
    for n in range(first, end, B):
        chunk = slice(n, min(n + B, end))
        b = sample_last(x[chunk], x_last)
        sample_last(dy[chunk], dy_last)
        _add_windows_products(
            *(x_last, dy_last, kernel, stride, padding, dilation),
            *(taps, pairs, b, dw),
        )


@elementwise
def _in_order(w: Array, order: Array, w_taps: Array) -> None:
    """w_taps[i] = w[order[i]]."""
    for i in range(len(order)):
        w_taps[i] = w[order[i]]


@elementwise
def _finish(
    places: Array,
    first: int,
    end: int,
    done: int,
    blocks: int,
    code: int,
    place: int,
    out: Array,
) -> int:
    """out[first:end] = these places of the samples, and what is then to be done to each block from
    `done` on that is complete. Returns the first one that is not."""
    N, C, H, W = out.shape
    rows = out.reshape(N, C * H * W)
    lanes = VECTOR_BYTES // out.itemsize
    for n in range(first, end, lanes):
        samples_first(places, n - first, rows[first:end])
        while share(done, blocks, N)[1] <= min(n + lanes, end):
            do_part(code, place, done)
            done += 1
    return done


@elementwise
def _windows_sums(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    taps: Array,
    rows: Array,
    B: int,
    y: Array,
) -> None:
    """y[k, i, j] = Σ over a, b, c of w[g, a, b, c, k] x[c, i·SH + a·DH - PH, j·SW + b·DW - PW]."""
    C, H, W, row = x.shape
    K, OH, OW, row = y.shape
    G, KH, KW, c, k = w.shape
    x_rows, y_rows = x.reshape(C * H * W, row), y.reshape(K * OH * OW, row)
    w_rows = w.reshape(G, KH * KW * c, k)
    for g in range(G):
        for i in range(OH):
            for j in range(OW):
                count = window_taps((H, W), i, j, (KH, KW), stride, padding, dilation, taps)
                for channel in range(k):
                    rows[channel] = ((g * k + channel) * OH + i) * OW + j
                of_group = x_rows[g * c * H * W :]
                weighted_sums(of_group, w_rows[g], taps, count, c, H * W, rows, B, y_rows)


@elementwise
def _readers_sums(
    dy: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    patch: Pair,
    taps: Array,
    rows: Array,
    B: int,
    size: Pair,
    dx: Array,
) -> None:
    """dx[c, p, q] = Σ over a, b, k of w[g, a, b, k, c] dy[k, i, j], for those a, b that have whole
    i, j with i·SH + a·DH - PH = p and j·SW + b·DW - PW = q.

    (u, v) counts the patches of the padded image: p + PH = u·FH + e, q + PW = v·FW + f. Within a
    patch the stride is 1 and (e, f, c) the channel, or the patch is one place. dx: (C·H·W + 1,
    B + gap), the last row for what a patch has in the padding.
    """
    K, OH, OW, row = dy.shape
    H, W = size
    G, KH, KW, k, channels = w.shape
    (PH, PW), (FH, FW) = padding, patch
    c = channels // (FH * FW)
    left = (stride[0] // FH, stride[1] // FW)
    dy_rows, w_rows = dy.reshape(K * OH * OW, row), w.reshape(G, KH * KW * k, channels)
    for g in range(G):
        for u in range(PH // FH, (H + PH - 1) // FH + 1):
            for v in range(PW // FW, (W + PW - 1) // FW + 1):
                count = reader_taps((OH, OW), u, v, (KH, KW), left, dilation, taps)
                place = 0
                for p in range(u * FH - PH, (u + 1) * FH - PH):
                    for q in range(v * FW - PW, (v + 1) * FW - PW):
                        inside = 0 <= p < H and 0 <= q < W
                        for channel in range(g * c, (g + 1) * c):
                            rows[place] = (channel * H + p) * W + q if inside else len(dx) - 1
                            place += 1
                of_group = dy_rows[g * k * OH * OW :]
                weighted_sums(of_group, w_rows[g], taps, count, k, OH * OW, rows, B, dx)


@elementwise
def _add_windows_products(
    x: Array,
    dy: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    taps: Array,
    pairs: Array,
    B: int,
    dw: Array,
) -> None:
    """dw[g, (c, a, b), k] += Σ over i, j of <dy[k, i, j], x[c, i·SH + a·DH - PH, ...]>."""
    C, H, W, row = x.shape
    K, OH, OW, row = dy.shape
    G, Q, k = dw.shape[0], dw.shape[1] - 1, dw.shape[2]
    c = C // G
    x_rows, dy_rows = x.reshape(C * H * W, row), dy.reshape(K * OH * OW, row)
    for g in range(G):
        for i in range(OH):
            for j in range(OW):
                count = window_taps((H, W), i, j, kernel, stride, padding, dilation, taps)
                count = with_channels(taps, count, g * c, c, H * W, Q // c, pairs)
                while count % 4 != 0:
                    pairs[0, count] = pairs[0, count - 1]
                    pairs[1, count] = Q
                    count += 1
                first = (g * k * OH + i) * OW + j
                add_tap_products(x_rows, dy_rows, pairs, count, first, OH * OW, B, dw[g])
