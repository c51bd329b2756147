"""Matrix product of fully connected layers, in parts. Derivation: `reference/dense.py`."""

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.blas import gemm, products
from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.jit import not_in_kernels, threaded
from minae.backends.cpu_numba.sample_last import transpose
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.tiles import TILE, strided_product_tile
from minae.backends.cpu_numpy import dense
from minae.backends.spec import Array

# Microseconds of BLAS and of tiles for N samples, D features and K outputs, float32, two threads of
# an Intel with vectors of 512 bits (`python -m bench.cpu --choices` prints them anew, and more):
#   N, D, K       32, 1568, 32  256, 128, 64  256, 1568, 32  256, 256, 100  256, 256, 512
#   y = x wᵀ         21   26       30   21      159    91        74   62       270  202
#   dw = dyᵀ x       18   18       29   22      146   102        66   52       230  250
#   dx = dy w        19   18       28   20      155    95        62   48       249  207
#   N, D, K     256, 1000, 500
#   y = x wᵀ       1082  864
#   dw = dyᵀ x      922 1235
#   dx = dy w       903 1024
# (Where BLAS is ahead in the first column, the rule knows no better.)
# Tiles need no copies of what BLAS copies first, and one of op(b) if it is turned. But they read
# op(a) anew for each two vectors of columns: it must not be too large for the second caches. And
# what is read by columns, a turned `a`, a `b` that is not, must not lie in more pages than the
# processor finds quickly.
_FULL = 0.75  # of whole pairs of vectors are columns, at least; 0.78 was measured
_TERMS, _BYTES_OF_A, _BYTES_OF_A_TURNED, _BYTES_OF_B = 2048, 2**21, 2**18, 7 * 2**18


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
    if tiles_pay(M, R, a.size // M, a_turned, b_turned, out):
        tiled_matmul(a, a_turned, b, b_turned, out)
    else:
        count = parts(max(M, R), numbers)
        _matmul(count, addresses[out.dtype.name], a, a_turned, b, b_turned, out)


def tiles_pay(M: int, R: int, Q: int, a_turned: bool, b_turned: bool, out: Array) -> bool:
    """Whether a product (M, Q) (Q, R) is faster in tiles than by BLAS, by the table above."""
    pair = _pair(out)
    columns = -(-R // pair)
    bytes_of_a, bytes_of_b = M * Q * out.itemsize, Q * R * out.itemsize
    return (
        VECTOR_BYTES == 64  # with shorter ones it was not measured
        and M >= 2 * TILE
        and columns * pair * _FULL <= R >= pair
        and _TERMS >= Q
        and (columns == 1 or bytes_of_a <= (_BYTES_OF_A_TURNED if a_turned else _BYTES_OF_A))
        and (b_turned or bytes_of_b <= _BYTES_OF_B)
    )


def tiled_matmul(a: Array, a_turned: bool, b: Array, b_turned: bool, out: Array) -> None:
    """`matmul` in tiles, of a and b as their rows lie in memory; out has a tile at least."""
    M, R = out.shape
    Q, pair = a.size // M, _pair(out)
    assert M >= TILE and pair <= R, f"at least {TILE}×{pair}, found {M}×{R}"
    count = parts(-(-M // TILE) if M >= R else -(-R // pair), a.size + b.size + out.size)
    down, along = (1, M) if a_turned else (Q, 1)
    panels = scratch_of_parts("dense.panels", count, (Q if b_turned else 0, pair), out.dtype)
    _tiled_matmul(count, Q, a.reshape(-1), down, along, b, b_turned, panels, out)


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
    Q: int,
    a: Array,
    down: int,
    along: int,
    b: Array,
    b_turned: bool,
    panels: Array,
    out: Array,
) -> None:
    """out (M, R) in tiles of TILE rows and two vectors of columns; op(a)[m, q] is a[m·down +
    q·along]. The last tiles are moved inside: what two of them, also of two threads, write is the
    same.

    Two vectors of each of op(b)'s Q rows, turned where they are columns of b, serve all rows of out
    while they lie in the cache.
    """
    (M, R), pair = out.shape, panels.shape[2]
    rows, columns = (M + TILE - 1) // TILE, (R + pair - 1) // pair
    first_row, end_row, first_column, end_column = 0, rows, 0, columns
    if M >= R:
        first_row, end_row = share(part, parts, rows)
    else:
        first_column, end_column = share(part, parts, columns)
    panel = part_of(panels, part)
    for column in range(first_column, end_column):
        j = min(column * pair, R - pair)
        source, source_j = b, j
        if b_turned:
            source, source_j = panel, 0
            transpose(b[j : j + pair], panel)
        for row in range(first_row, end_row):
            i = min(row * TILE, M - TILE)
            strided_product_tile(a, i * down, down, along, Q, source, source_j, out, i, j)
