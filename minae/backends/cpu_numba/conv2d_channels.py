"""Convolution and its weight gradient where a vector can hold output channels, K/G of them.

Plain form: `cpu_numpy/conv2d.py`. Both are sums of numbers of x times rows, where a row has a
number for each output channel; T = (c, a, b) is a place of the kernel, L = (i, j) an output
position:

    y[L] = Σ over T of x[L + T] · w[T],     dw[T] = Σ over n and L of x[n, T + L] · dy[n, L].

L + T stands for where x is read: it is the sum of two offsets into an image, so that two lists of
offsets describe every stride and dilation, and nothing is copied into columns. Only where there is
padding an image is copied, into a margin of zeros. `conv2d.py`, with its vectors of samples, turns
x and y around in the second cache; here x is read as it lies, and y or dy is turned to rows of
channels while one image is in the first. Each thread takes a part of the samples, of however few.
"""

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.conv2d_tiles import (
    FEW_ROWS,
    MANY_ROWS,
    SOME_ROWS,
    add_few_narrow_rows,
    add_few_wide_rows,
    add_many_narrow_rows,
    add_many_wide_rows,
    add_some_narrow_rows,
    add_some_wide_rows,
)
from minae.backends.cpu_numba.epilogue import Then, share_of_blocks
from minae.backends.cpu_numba.jit import elementwise, serial, threaded
from minae.backends.cpu_numba.pool import do_part
from minae.backends.cpu_numba.sample_last import transpose
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vectors import RUN, copy_numbers, prefetch
from minae.backends.spec import Array, Pair

_MANY, _LONG = 512, 16  # samples; terms of a sum
_HALF = VECTOR_BYTES == 64  # with shorter vectors half of one was not measured
_TERMS = 96  # of a sum over positions: so many samples are taken together as have that many
_TABLED = 10 * MANY_ROWS  # more rows than that begin with a tile of many
_BESIDES = 0.9  # what a tile takes besides its rows, in rows: measured 0.8 to 1.1, wide and narrow


def tiles(sizes: tuple[int, ...], most: int) -> Array:
    """tile[n], the rows of the first tile of n <= most rows, such that all tiles together take the
    least time: of each its rows, of which the last tile may have too many, and _BESIDES."""
    tile, time = [0], [0.0]
    for n in range(1, most + 1):
        least, first = min((rows + _BESIDES + time[max(n - rows, 0)], rows) for rows in sizes)
        tile.append(first)
        time.append(least)
    return np.array(tile)


_TILE = tiles((MANY_ROWS, SOME_ROWS, FEW_ROWS), _TABLED)


def fill(channels: int, x: Array) -> bool:
    """Whether so many channels fill more than half of a vector of x's numbers, or just half where
    all samples would be one thread's: else vectors of samples are faster (`python -m bench.cpu
    --choices`; a table in bench/README.md)."""
    lanes = VECTOR_BYTES // x.itemsize
    return 2 * channels > lanes or (_HALF and 2 * channels == lanes and len(x) <= RUN)


def forward_pays(w: Array, groups: int, x: Array) -> bool:
    """Whether forward, too, is faster by vectors of channels: not of many samples, unless a sum has
    few terms; then half a vector is enough. By vectors of samples M3 takes 0.93 of its time at
    4096; at 256 it would take 0.96, and its first step a second more, for a kernel that shares no
    code with the gradient's."""
    channels = len(w) // groups
    if w[0].size < _LONG:
        half = VECTOR_BYTES // x.itemsize // 2
        return channels > half or (_HALF and channels == half)
    return fill(channels, x) and len(x) < _MANY


def forward(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    then: Then,
    out: Array,
) -> None:
    """out = cross-correlation of x with w, and what there is to do after it. Plain form:
    `cpu_numpy.conv2d.conv2d_forward`."""
    K, c, KH, KW = w.shape
    L, T, row = out.shape[2] * out.shape[3], c * KH * KW, _row(K // groups, x)
    count = min(parts(len(x), x.size + out.size), then[0])
    p, q = _offsets(count, L), _offsets(count, T, "q")
    w_rows = scratch_of_parts("conv2d.w", count, (groups, T, row), w.dtype)
    y_rows = scratch_of_parts("conv2d.rows", count, (L + FEW_ROWS, row), out.dtype)
    images = _images(count, 1, x, padding)
    x, w = contiguous("conv2d.x", x), contiguous("conv2d.w_contiguous", w)
    _forward(
        *(count, x, w, stride, padding, dilation, p, q, images, w_rows, y_rows),
        *(*then, out),
    )


def weight_gradient(
    x: Array, dy: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, out: Array
) -> None:
    """out = gradient in w. Plain form: `cpu_numpy.conv2d.conv2d_weight_gradient`.

    Each part has a dw of its own; they are added in their order.
    """
    K, c, KH, KW = out.shape
    L, T, row = dy.shape[2] * dy.shape[3], c * KH * KW, _row(K // groups, x)
    count = parts(len(x), x.size + dy.size)
    together = max(1, min(_TERMS // L, -(-len(x) // count)))  # samples
    p, q = _offsets(count, T), _offsets(count, together * L, "q")
    dw_rows = scratch_of_parts("conv2d.w", count, (groups, T + FEW_ROWS, row), out.dtype)
    dy_rows = scratch_of_parts("conv2d.rows", count, (together * L, row), dy.dtype)
    images = _images(count, together, x, padding)
    x, dy = contiguous("conv2d.x", x), contiguous("conv2d.dy", dy)
    _weight_gradient(
        *(count, x, dy, (KH, KW), stride, padding, dilation, p, q, images, dy_rows, dw_rows)
    )
    sum_parts(dw_rows, out.reshape(groups, -1, T))


def _row(channels: int, x: Array) -> int:
    """Numbers in a row for so many channels: whole vectors."""
    lanes = VECTOR_BYTES // x.itemsize
    return -(-channels // lanes) * lanes


def _offsets(parts: int, count: int, name: str = "p") -> Array:
    """Scratch for each part's list of so many offsets, and for those that fill up a tile."""
    return scratch_of_parts(f"conv2d.{name}", parts, (count + FEW_ROWS,), np.int64)


def _images(parts: int, together: int, x: Array, padding: Pair) -> Array:
    """Scratch for each part's images in their margins; no image where there is no padding."""
    _, C, H, W = x.shape
    if padding == (0, 0):
        together = 0
    shape = (together, C, H + 2 * padding[0], W + 2 * padding[1])
    return scratch_of_parts("conv2d.images", parts, shape, x.dtype)


# Below: x (N, C, H, W), y (N, K, OH, OW); of each part p, offsets of rows, q, offsets of terms, and
# images (n, C, H + 2PH, W + 2PW); G groups, c and k channels of one.


@threaded
def _forward(
    part: int,
    parts: int,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    p: Array,
    q: Array,
    images: Array,
    w_rows: Array,
    y_rows: Array,
    blocks: int,
    code: int,
    place: int,
    y: Array,
) -> None:
    N, K, OH, OW = y.shape
    _, c, KH, KW = w.shape
    p, q, images = part_of(p, part), part_of(q, part), part_of(images, part)
    w_rows, y_rows = part_of(w_rows, part), part_of(y_rows, part)
    G, T, _ = w_rows.shape
    H, W = images.shape[2:]
    k, L = K // G, OH * OW
    _positions(p, 0, OH, OW, 0, W, stride)
    _fill_up(p, L)
    _kernel_places(q, c, KH, KW, H, W, dilation)
    for g in range(G):
        transpose(w[g * k : (g + 1) * k].reshape(k, T), w_rows[g])
    padded = len(images) > 0
    _clear(images.reshape(-1))
    done, _ = share(part, parts, blocks)
    first, end = share_of_blocks(part, parts, blocks, N)
    for n in range(first, end):
        ahead = min(n + 1, end - 1)
        image = x[n].reshape(-1)
        if padded:
            _copy_inside(x[n], padding, images[0])
            image = images[0].reshape(-1)
        for g in range(G):
            _clear(y_rows.reshape(-1))
            group, y_group = image[g * c * H * W :], y[n, g * k : (g + 1) * k]
            wanted = x[ahead, g * c : (g + 1) * c].reshape(-1), y_group.reshape(-1)
            _add_products(group, p, q, w_rows[g], L, T, y_rows, wanted)
            transpose(y_rows, y_group.reshape(k, L))
        if share(done, blocks, N)[1] == n + 1:
            do_part(code, place, done)
            done += 1


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
    p: Array,
    q: Array,
    images: Array,
    dy_rows: Array,
    dw_rows: Array,
) -> None:
    N, K, OH, OW = dy.shape
    p, q, images = part_of(p, part), part_of(q, part), part_of(images, part)
    dy_rows, dw_rows = part_of(dy_rows, part), part_of(dw_rows, part)
    G = len(dw_rows)
    _, C, H, W = images.shape
    k, c, L = K // G, C // G, OH * OW
    T = c * kernel[0] * kernel[1]
    together = len(dy_rows) // L
    _kernel_places(p, c, kernel[0], kernel[1], H, W, dilation)
    _fill_up(p, T)
    for i in range(together):
        _positions(q, i * L, OH, OW, i * C * H * W, W, stride)
    padded = len(images) > 0
    _clear(images.reshape(-1))
    _clear(dw_rows.reshape(-1))
    first, end = share(part, parts, N)
    for n in range(first, end, together):
        count = min(together, end - n)
        ahead, stop = n + count, min(n + count + together, end)
        block = x[n : n + count].reshape(-1)
        if padded:
            for i in range(count):
                _copy_inside(x[n + i], padding, images[i])
            block = images.reshape(-1)
        for g in range(G):
            for i in range(count):
                source = dy[n + i, g * k : (g + 1) * k].reshape(k, L)
                transpose(source, dy_rows[i * L : (i + 1) * L])
            group = block[g * c * H * W :]
            stop = stop if g == 0 else ahead  # once for all groups
            wanted = x[ahead:stop].reshape(-1), dy[ahead:stop].reshape(-1)
            _add_products(group, p, q, dy_rows, T, count * L, dw_rows[g], wanted)


@serial
def sum_parts(dw_rows: Array, dw: Array) -> None:
    """dw (G, K/G, T) = the sum of all parts' rows (G, T or more, row), turned. The first part's are
    overwritten."""
    first = part_of(dw_rows, 0)
    total = first.reshape(-1)
    for part in range(1, len(dw_rows)):
        more = part_of(dw_rows, part).reshape(-1)
        for i in range(len(total)):
            total[i] += more[i]
    for g in range(len(dw)):
        transpose(first[g], dw[g])


@elementwise
def _add_products(
    x: Array,
    p: Array,
    q: Array,
    w: Array,
    rows: int,
    terms: int,
    y: Array,
    wanted: tuple[Array, Array],
) -> None:
    """y[a] += Σ over t < terms of x[p[a] + q[t]] w[t], for a < rows; some rows after them, for
    which p is filled up, get what is not used.

    The two arrays that are wanted next, with one axis, are fetched meanwhile, some of them after
    each tile: asked for all at once, they would hold up what the tiles ask for (M5 on Intel: 4 %).
    """
    first, second = wanted
    pace = first.size // rows + 1, second.size // rows + 1  # numbers for each row
    row = y.shape[1]
    lanes = VECTOR_BYTES // y.itemsize
    wide = row - row % (2 * lanes)  # up to here two vectors at a time, then one
    for k in range(0, row, 2 * lanes):
        a = 0
        while a < rows:
            tile = _TILE[min(rows - a, _TABLED)]
            if k < wide:
                if tile == MANY_ROWS:
                    add_many_wide_rows(x, p, q, w, y, a, terms, k)
                elif tile == SOME_ROWS:
                    add_some_wide_rows(x, p, q, w, y, a, terms, k)
                else:
                    add_few_wide_rows(x, p, q, w, y, a, terms, k)
            elif tile == MANY_ROWS:
                add_many_narrow_rows(x, p, q, w, y, a, terms, k)
            elif tile == SOME_ROWS:
                add_some_narrow_rows(x, p, q, w, y, a, terms, k)
            else:
                add_few_narrow_rows(x, p, q, w, y, a, terms, k)
            if k == 0:
                prefetch(first, a * pace[0], min((a + tile) * pace[0], first.size))
                prefetch(second, a * pace[1], min((a + tile) * pace[1], second.size))
            a += tile


@elementwise
def _positions(offsets: Array, at: int, I: int, J: int, start: int, W: int, steps: Pair) -> None:
    """offsets[at + i·J + j] = where place (i, j), in steps, lies after the start in rows of W."""
    for i in range(I):
        for j in range(J):
            offsets[at + i * J + j] = start + i * steps[0] * W + j * steps[1]


@elementwise
def _kernel_places(
    offsets: Array, c: int, KH: int, KW: int, H: int, W: int, dilation: Pair
) -> None:
    """offsets[c, a, b] = where this place of the kernel lies in an image of H×W."""
    for channel in range(c):
        _positions(offsets, channel * KH * KW, KH, KW, channel * H * W, W, dilation)


@elementwise
def _fill_up(offsets: Array, count: int) -> None:
    """Repeats the last of so many offsets, for the rows that fill up a tile."""
    for i in range(FEW_ROWS):
        offsets[count + i] = offsets[count - 1]


@elementwise
def _copy_inside(x: Array, padding: Pair, image: Array) -> None:
    """image (C, H + 2PH, W + 2PW) = x (C, H, W) inside the margin, which stays as it is."""
    C, H, W = x.shape
    _, height, width = image.shape
    source, target = x.reshape(-1), image.reshape(-1)
    for c in range(C):
        for h in range(H):
            place = (c * height + h + padding[0]) * width + padding[1]
            copy_numbers(source, (c * H + h) * W, W, target, place)


@elementwise
def _clear(x: Array) -> None:
    for i in range(len(x)):
        x[i] = 0
