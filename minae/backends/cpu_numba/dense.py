"""Matrix product of fully connected layers, in parts. Derivation: `reference/dense.py`."""

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.blas import gemm, products
from minae.backends.cpu_numba.jit import not_in_kernels, threaded
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numpy import dense
from minae.backends.spec import Array


def matmul(
    a: Array, b: Array, *, out: Array, transpose_a: bool = False, transpose_b: bool = False
) -> None:
    """out = op(a) @ op(b), each thread a part of out's rows, or of its columns where it has more.

    Plain form: `cpu_numpy.dense.matmul`, one call of BLAS; also taken where no BLAS can be called
    from a kernel, and of a single row or column, for which BLAS has a function of its own.
    """
    addresses = products()
    if addresses is None or min(out.shape) < 2 or not a.size:
        not_in_kernels()
        dense.matmul(a, b, out=out, transpose_a=transpose_a, transpose_b=transpose_b)
        return
    M, R = out.shape
    count = parts(max(M, R), a.size + b.size + out.size)
    a_rows, a_turned = _by_rows("dense.a", a, transpose_a)
    b_rows, b_turned = _by_rows("dense.b", b, transpose_b)
    _matmul(count, addresses[out.dtype.name], a_rows, a_turned, b_rows, b_turned, out)


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
