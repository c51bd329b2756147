"""Products with a batch that is mostly zeros: only what is not zero is multiplied.

Plain form: `cpu_numpy/sparse.py`, which makes the batch dense for a matrix product. Here w is
turned around once a step, so that a pixel's weights lie next to each other: (D, K). Then y[n] is a
weighted sum of rows of wᵀ, kept in registers while the pixels of sample n are gone through, and
each pixel of sample n adds a multiple of dy[n] to a row of dwᵀ.
"""

from minae.backends.cpu_numba.blas import wide_products
from minae.backends.cpu_numba.jit import elementwise, threaded
from minae.backends.cpu_numba.sample_last import transpose
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vectors import (
    NARROW,
    VECTOR_BYTES,
    WIDE,
    add_to_narrow_rows,
    add_to_wide_rows,
    prefetch,
    sum_of_narrow_rows,
    sum_of_wide_rows,
)
from minae.backends.cpu_numpy.arrays import contiguous, scratch
from minae.backends.spec import Array

# Microseconds for 256 rows of MNIST (19 % nonzeros) and K features, float32, two threads, beside
# the dense product by OpenBLAS with vectors of 256 and of 512 bits:
#   K            32             128               400
#   forward      45  72  49     134  240  150     410  850  440
#   gradient     55  73  49     170  237  143     740  770  370
# (`python -m bench.cpu --operations`, with OPENBLAS_CORETYPE=Haswell and without.)
# What is read and written for each nonzero grows with K and leaves the cache, while a dense product
# gets the better of its numbers the more of them there are.
_MOST_FEATURES = {"sparse_matmul": 512, "sparse_weight_gradient": 0 if wide_products() else 256}
_MOST_NONZEROS = 0.25
AHEAD = 4  # samples


def sparse_pays(operation: str, features: int, density: float) -> bool:
    """By the table above; see spec."""
    return features <= _MOST_FEATURES[operation] and density <= _MOST_NONZEROS


def sparse_matmul(
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    w: Array,
    scale: float,
    shift: float,
    *,
    out: Array,
) -> None:
    """out = x wᵀ. Plain form: `cpu_numpy.sparse.sparse_matmul`."""
    (N, K), D = out.shape, w.shape[1]
    count, width = parts(N, N * D), _width(K, w)
    number = out.dtype.type
    w_last = scratch("sparse.w", (D, width), w.dtype)
    shifts = scratch("sparse.shifts", (count, width), w.dtype)
    y = scratch("sparse.y", (N, width), w.dtype)
    nonzeros = _contiguous(starts, columns, values)
    rows = contiguous("sparse.rows", rows)
    _turn(parts(D, w.size), contiguous("sparse.w_rows", w), w_last)
    _sparse_matmul(count, *nonzeros, rows, w_last, number(scale), number(shift), shifts, y, out)


def sparse_weight_gradient(
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    dy: Array,
    scale: float,
    shift: float,
    *,
    out: Array,
) -> None:
    """out = dyᵀ x. Plain form: `cpu_numpy.sparse.sparse_weight_gradient`.

    Each part of the samples has a dwᵀ of its own; they are added in their order.
    """
    (N, K), D = dy.shape, out.shape[1]
    count, width = parts(N, N * D), _width(K, out)
    number = out.dtype.type
    g = scratch("sparse.y", (N, width), out.dtype)
    dw_last = scratch("sparse.dw", (count, D, width), out.dtype)
    nonzeros = _contiguous(starts, columns, values)
    rows, dy = contiguous("sparse.rows", rows), contiguous("sparse.dy", dy)
    _sparse_weight_gradient(count, *nonzeros, rows, dy, number(scale), g, dw_last)
    _add_and_turn_back(parts(D, out.size), dw_last, dy, number(shift), out)


def _contiguous(starts: Array, columns: Array, values: Array) -> tuple[Array, Array, Array]:
    return (
        contiguous("sparse.starts", starts),
        contiguous("sparse.columns", columns),
        contiguous("sparse.values", values),
    )


def _width(K: int, w: Array) -> int:
    """K rounded up to whole pairs of vectors."""
    pair = NARROW * VECTOR_BYTES // int(w.itemsize)
    return -(-K // pair) * pair


@threaded
def _turn(part: int, parts: int, w: Array, w_last: Array) -> None:
    """w_last (D, width) = wᵀ, with zeros beyond K."""
    first, end = share(part, parts, len(w_last))
    transpose(w[:, first:end], w_last[first:end])


@threaded
def _sparse_matmul(
    part: int,
    parts: int,
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    w: Array,
    scale: float,
    shift: float,
    shifts: Array,
    y: Array,
    out: Array,
) -> None:
    N, K = out.shape
    _shifts(w, shift, shifts[part])
    first, end = share(part, parts, N)
    for n in range(first, end):
        _prefetch(columns, values, starts, rows[min(n + AHEAD, N - 1)])
        _sum_rows(w, columns, values, starts[rows[n]], starts[rows[n] + 1], y, n)
        for k in range(K):
            out[n, k] = scale * y[n, k] + shifts[part, k]


@elementwise
def _prefetch(columns: Array, values: Array, starts: Array, m: int) -> None:
    """The nonzeros of sample m of the data set, which no processor guesses in time."""
    prefetch(columns, starts[m], starts[m + 1])
    prefetch(values, starts[m], starts[m + 1])


@elementwise
def _shifts(w: Array, shift: float, shifts: Array) -> None:
    """shifts[k] = shift · Σ_d w[d, k]."""
    D, width = w.shape
    for k in range(width):
        shifts[k] = 0
    if shift != 0:
        for d in range(D):
            for k in range(width):
                shifts[k] += shift * w[d, k]


@elementwise
def _sum_rows(
    w: Array, columns: Array, values: Array, first: int, end: int, y: Array, n: int
) -> None:
    """y[n] = Σ_i values[i] w[columns[i]], first <= i < end."""
    width = w.shape[1]
    lanes = VECTOR_BYTES // w.itemsize
    wide = width - width % (WIDE * lanes)
    for k in range(0, wide, WIDE * lanes):
        sum_of_wide_rows(w, columns, values, first, end, k, y, n)
    for k in range(wide, width, NARROW * lanes):
        sum_of_narrow_rows(w, columns, values, first, end, k, y, n)


@threaded
def _sparse_weight_gradient(
    part: int,
    parts: int,
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    dy: Array,
    scale: float,
    g: Array,
    dw: Array,
) -> None:
    """dw[part, d, k] = scale · Σ dy[n, k] u[rows[n], d] over the samples n of a part."""
    N, K = dy.shape
    width = g.shape[1]
    of_part = dw[part]
    for d in range(len(of_part)):
        for k in range(width):
            of_part[d, k] = 0
    first, end = share(part, parts, N)
    for n in range(first, end):
        for k in range(width):
            g[n, k] = dy[n, k] * scale if k < K else 0
    for n in range(first, end):
        _prefetch(columns, values, starts, rows[min(n + AHEAD, N - 1)])
        _add_to_rows(g, n, columns, values, starts[rows[n]], starts[rows[n] + 1], of_part)


@elementwise
def _add_to_rows(
    g: Array, n: int, columns: Array, values: Array, first: int, end: int, dw: Array
) -> None:
    """dw[columns[i]] += values[i] g[n], first <= i < end."""
    width = dw.shape[1]
    lanes = VECTOR_BYTES // dw.itemsize
    wide = width - width % (WIDE * lanes)
    for k in range(0, wide, WIDE * lanes):
        add_to_wide_rows(g, n, k, columns, values, first, end, dw)
    for k in range(wide, width, NARROW * lanes):
        add_to_narrow_rows(g, n, k, columns, values, first, end, dw)


@threaded
def _add_and_turn_back(
    part: int, parts: int, dw: Array, dy: Array, shift: float, out: Array
) -> None:
    """out (K, D) = the sum over the parts of dw (parts, D, width), turned, + shift · Σ_n dy[n]."""
    D = out.shape[1]
    of_first = dw[0]
    first, end = share(part, parts, D)
    for other in dw[1:]:
        for d in range(first, end):
            for k in range(dw.shape[2]):
                of_first[d, k] += other[d, k]
    transpose(of_first[first:end], out[:, first:end])
    if shift != 0:
        for k in range(len(out)):
            total = dy.dtype.type(0)
            for n in range(len(dy)):
                total += dy[n, k]
            for d in range(first, end):
                out[k, d] += shift * total
