"""A batch picked from a data set: rows are copied, converted and scaled in one pass."""

from minae.backends import cpu_numpy
from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import not_in_kernels, serial, threaded
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vectors import prefetch
from minae.backends.spec import Array

AHEAD = 4  # samples that are asked for early: where they lie in a data set, no processor guesses


def gather(source: Array, indices: Array, scale: float, shift: float, *, out: Array) -> None:
    """out[n] = scale · source[indices[n]] + shift.

    Plain form: `cpu_numpy.gather.gather`, which copies the rows, then converts, scales and shifts.
    """
    number = out.dtype.type
    source = contiguous("gather.source", source)
    indices = contiguous("gather.indices", indices)
    _gather(parts(len(out), out.size), source, indices, number(scale), number(shift), out)


def gather_bytes(source: Array, indices: Array, *, out: Array) -> None:
    """out[n] = source[indices[n]], bytes, for kernels that scale what they read (`fusion.py`).

    Plain form: `gather`, which writes, and lets them read, four bytes or eight for each.
    """
    source = contiguous("gather.source", source)
    indices = contiguous("gather.indices", indices)
    _gather_bytes(parts(len(out), out.size), source, indices, out)


def take(source: Array, indices: Array, *, out: Array) -> None:
    """out[n] = source[indices[n]]. Plain form: `cpu_numpy.gather.take`."""
    source = contiguous("gather.source", source)
    _take(source, contiguous("gather.indices", indices), out)


def one_hot(labels: Array, *, out: Array) -> None:
    """out[n, c] = 1 if c == labels[n] else 0. Plain form: `cpu_numpy.gather.one_hot`."""
    _one_hot(contiguous("gather.labels", labels), out)


def binarize(x: Array, u: Array, *, out: Array) -> None:
    """out = 1 where u < x, else 0. Plain form: `cpu_numpy.gather.binarize`, two passes."""
    u_or_none = None if u is out else contiguous("gather.u", u).reshape(-1)
    x = contiguous("gather.x", x).reshape(-1)
    _binarize(parts(out.size, out.size), x, u_or_none, out.reshape(-1))


def argsort(keys: Array, *, out: Array) -> None:
    """out = the rows of keys in ascending order, by NumPy's sort in vector instructions."""
    not_in_kernels()
    cpu_numpy.argsort(keys, out=out)


@threaded
def _gather(
    part: int, parts: int, source: Array, indices: Array, scale: float, shift: float, out: Array
) -> None:
    number = out.dtype.type
    N, D = out.shape
    first, end = share(part, parts, N)
    for n in range(first, end):
        prefetch(source[indices[min(n + AHEAD, N - 1)]], 0, D)
        row = source[indices[n]]
        for d in range(D):
            out[n, d] = scale * number(row[d]) + shift


@threaded
def _gather_bytes(part: int, parts: int, source: Array, indices: Array, out: Array) -> None:
    N, D = out.shape
    first, end = share(part, parts, N)
    for n in range(first, end):
        prefetch(source[indices[min(n + AHEAD, N - 1)]], 0, D)
        row = source[indices[n]]
        for d in range(D):
            out[n, d] = row[d]


@serial
def _take(source: Array, indices: Array, out: Array) -> None:
    for n in range(len(out)):
        out[n] = source[indices[n]]


@serial
def _one_hot(labels: Array, out: Array) -> None:
    N, classes = out.shape
    for n in range(N):
        for c in range(classes):
            out[n, c] = labels[n] == c


@threaded
def _binarize(part: int, parts: int, x: Array, u: Array | None, out: Array) -> None:
    one, zero = out.dtype.type(1), out.dtype.type(0)
    first, end = share(part, parts, len(out))
    # arrays whose places are counted from 0: of others no vectors are made
    x_, out_ = x[first:end], out[first:end]
    source = out_ if u is None else u[first:end]
    for i in range(len(out_)):
        out_[i] = one if source[i] < x_[i] else zero
