"""Matrix product of fully connected layers, in parts. Derivation: `reference/dense.py`."""

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.blas import gemm, products
from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.jit import not_in_kernels, threaded
from minae.backends.cpu_numba.sample_last import transpose
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.tiles import TILE, strided_product_tile
from minae.backends.cpu_numpy import dense
from minae.backends.spec import Array

# Microseconds of BLAS and of tiles for (M, Q) (Q, R), two threads of an Intel with vectors of 512
# bits, float32; xᵀ: turned (`python -m bench.cpu --choices` prints them anew):
#   y = x wᵀ, M, R, Q   256, 64, 128   256, 32, 1568   256, 1568, 32   256, 40, 400   4096, 128, 64
#                         22     15     137      87     144      93     54      60     262     209
#   dw = dyᵀ x          64, 128, 256   32, 1568, 256   1568, 32, 256   400, 20, 256   64, 128, 4096
#                         20     16     127      90     104      99     30      34     357     757
# Tiles need no copies of what BLAS copies first, and one of op(b) if it is turned. They have no
# blocks of terms: with many, the columns of a turned `a` lie in more pages than the processor has
# addresses of, and with many numbers op(b) leaves the second cache.
_FULL = 0.9  # of whole pairs of vectors are columns, at least
_TERMS, _TERMS_TURNED, _NUMBERS = 2048, 512, 2**17


def matmul(
    a: Array, b: Array, *, out: Array, transpose_a: bool = False, transpose_b: bool = False
) -> None:
    """out = op(a) @ op(b) by BLAS, or in tiles whose sums stay in registers; each thread a part of
    out's rows, or of its columns where it has more.

    Plain form: `cpu_numpy.dense.matmul`, one call of BLAS; also taken where no BLAS can be called
    from a kernel, and of a single row or column, for which BLAS has a function of its own.
    """
    addresses = products()
    if addresses is None or min(out.shape) < 2 or not a.size:
        not_in_kernels()
        dense.matmul(a, b, out=out, transpose_a=transpose_a, transpose_b=transpose_b)
        return
    M, R = out.shape
    numbers = a.size + b.size + out.size
    a, a_turned = _by_rows("dense.a", a, transpose_a)
    b, b_turned = _by_rows("dense.b", b, transpose_b)
    if tiles_pay(M, R, a.size // M, a_turned, out):
        tiled_matmul(a, a_turned, b, b_turned, out)
    else:
        count = parts(max(M, R), numbers)
        _matmul(count, addresses[out.dtype.name], a, a_turned, b, b_turned, out)


def tiles_pay(M: int, R: int, Q: int, a_turned: bool, out: Array) -> bool:
    """Whether a product (M, Q) (Q, R) is faster in tiles than by BLAS, by the table above."""
    pair, most_terms = _pair(out), _TERMS_TURNED if a_turned else _TERMS
    filled = R / (pair * -(-R // pair))
    return (
        VECTOR_BYTES == 64  # elsewhere it was not measured
        and M >= 2 * TILE
        and pair <= R
        and filled >= _FULL
        and most_terms >= Q
        and _NUMBERS >= Q * R
    )


def tiled_matmul(a: Array, a_turned: bool, b: Array, b_turned: bool, out: Array) -> None:
    """`matmul` in tiles, of a and b as their rows lie in memory; at least a tile of out."""
    M, R = out.shape
    Q, pair = a.size // M, _pair(out)
    count = parts(max(-(-M // TILE), -(-R // pair)), a.size + b.size + out.size)
    down, along = (1, M) if a_turned else (Q, 1)
    panels = scratch("dense.panels", (count, Q, pair), out.dtype)
    _tiled_matmul(count, a.reshape(-1), down, along, b, b_turned, panels, out)


def _pair(out: Array) -> int:
    """Numbers in two vectors."""
    return 2 * VECTOR_BYTES // int(out.itemsize)


def _by_rows(slot: str, x: Array, transposed: bool) -> tuple[Array, bool]:
    """x as its rows lie in memory, and whether these are the columns of op(x)."""
    if x.flags.c_contiguous or not x.flags.f_contiguous:
        return contiguous(slot, x), transposed
    return x.T, not transposed


@threaded
def _matmul(
    part: int,
    parts: int,
    address: int,
    a: Array,
    a_turned: bool,
    b: Array,
    b_turned: bool,
    out: Array,
) -> None:
    M, R = out.shape
    Q = a.shape[0] if a_turned else a.shape[1]
    lda, ldb = a.shape[1], b.shape[1]
    if M >= R:
        m, end = share(part, parts, M)
        first = a[:, m:] if a_turned else a[m:]
        gemm(address, a_turned, b_turned, end - m, R, Q, first, lda, b, ldb, out[m:], R)
    else:
        r, end = share(part, parts, R)
        first = b[r:] if b_turned else b[:, r:]
        gemm(address, a_turned, b_turned, M, end - r, Q, a, lda, first, ldb, out[:, r:], R)


@threaded
def _tiled_matmul(
    part: int,
    parts: int,
    a: Array,
    down: int,
    along: int,
    b: Array,
    b_turned: bool,
    panels: Array,
    out: Array,
) -> None:
    """out (M, R) in tiles of TILE rows and two vectors of columns, the last ones moved inside: what
    two tiles compute is the same. op(a)[m, q] = a[m·down + q·along].

    Two vectors of each of op(b)'s Q rows, turned where they are columns of b, serve all rows of out
    while they lie in the cache.
    """
    (M, R), pair = out.shape, panels.shape[2]
    Q = panels.shape[1]
    rows, columns = (M + TILE - 1) // TILE, (R + pair - 1) // pair
    first_row, end_row, first_column, end_column = 0, rows, 0, columns
    if M >= R:
        first_row, end_row = share(part, parts, rows)
    else:
        first_column, end_column = share(part, parts, columns)
    panel = panels[part]
    for column in range(first_column, end_column):
        j = min(column * pair, R - pair)
        source, source_j = b, j
        if b_turned:
            source, source_j = panel, 0
            transpose(b[j : j + pair], panel)
        for row in range(first_row, end_row):
            i = min(row * TILE, M - TILE)
            strided_product_tile(a, i * down, down, along, Q, source, source_j, out, i, j)
