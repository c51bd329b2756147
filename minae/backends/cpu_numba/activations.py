"""Activations, fused with the bias before them (forward) and the bias gradient (backward).

Plain form: `cpu_numpy/activations.py`, one pass over memory for the bias, one or more for f, and
in backward one for f', one for the product and one for db. Here each is one pass.

Arrays are seen as (N, D), D = K or K·H·W, and taken in parts, one a thread. A part's `row` (D,)
holds, in forward, the bias spread over H and W and, in backward, the sum of dx over samples, so
that the innermost loop runs over all of a sample whatever its layout. A kernel that works in place
gets None for its input: two arrays in the same memory would keep the compiler from vectorizing the
loop. There is one loop a direction: an activation is a small function, put into the loop in place
of its call. After a convolution the parts are blocks of samples, which its kernel lets follow as
they are complete (`epilogue.py`).
"""

from functools import cache
from typing import Any

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.channels import BLOCK, add_parts, collect_gradient, spread
from minae.backends.cpu_numba.compiler import Function
from minae.backends.cpu_numba.jit import (
    Bound,
    Kernel,
    elementwise,
    inlined,
    not_in_kernels,
    serial,
    threaded,
)
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vector_math import Float, exp, expm1, sigmoid, softplus, tanh
from minae.backends.spec import Array


def bias_activation_forward(
    x: Array, b: Array | None, activation: str, slope: float, *, out: Array
) -> None:
    """out = f(x + b). Plain form: `cpu_numpy.activations.bias_activation_forward`."""
    if b is None and activation == "identity" and out is x:
        return
    count = parts(len(x), x.size)
    _FORWARD[activation](*_forward_arguments(count, x, b, slope, out))


def bound_forward(blocks: int, x: Array, b: Array | None, activation: str, slope: float) -> Bound:
    """x = f(x + b) in so many blocks of samples, bound for `do_part` of another kernel."""
    return _FORWARD[activation].bound(*_forward_arguments(blocks, x, b, slope, x))


def _forward_arguments(
    count: int, x: Array, b: Array | None, slope: float, out: Array
) -> tuple[Any, ...]:
    """What a kernel takes that does it in so many parts."""
    N, K = x.shape[:2]
    b = _zeros(K, out.dtype) if b is None else contiguous("activations.b", b)
    b = b.reshape(-1, K)  # (1, K) or (N, K)
    y = out.reshape(N, -1)  # (N, D)
    x_or_none = None if out is x else contiguous("activations.x", x).reshape(y.shape)  # (N, D)
    rows = scratch_of_parts("activations.rows", count, y.shape[1:], out.dtype)
    return count, x_or_none, b, out.dtype.type(slope), rows, y


@cache
def _zeros(K: int, dtype: np.dtype[Any]) -> Array:
    """A bias that changes nothing."""
    return np.zeros(K, dtype)


def bias_activation_backward(
    dy: Array,
    y: Array,
    activation: str,
    slope: float,
    *,
    dx: Array,
    db: Array | None,
) -> None:
    """dx = dy ⊙ f'(x), db = Σ dx. Plain form: `cpu_numpy.activations.bias_activation_backward`.

    db is summed in blocks of 64 samples, the blocks and then the parts in float64.
    """
    if db is None and activation == "identity" and dx is dy:
        return
    arguments = _backward_arguments(parts(len(y), y.size), dy, y, slope, dx, db)
    _BACKWARD[activation](*arguments)
    add_bias_gradient(arguments)


def bound_backward(
    blocks: int, dy: Array, y: Array, activation: str, slope: float, db: Array | None
) -> Bound:
    """dy = dy ⊙ f'(x) in so many blocks of samples, bound for `do_part` of another kernel. Its
    arguments are what `add_bias_gradient` takes when all are done."""
    return _BACKWARD[activation].bound(*_backward_arguments(blocks, dy, y, slope, dy, db))


def add_bias_gradient(arguments: tuple[Any, ...]) -> None:
    """db, if there is one for all samples, is the sum of what the parts have found."""
    *_, totals, _, db = arguments
    if len(db) == 1:
        add_parts(totals, db)


def _backward_arguments(
    count: int, dy: Array, y: Array, slope: float, dx: Array, db: Array | None
) -> tuple[Any, ...]:
    """What a kernel takes that does it in so many parts."""
    N, K = y.shape[:2]
    y = contiguous("activations.y", y).reshape(N, -1)  # (N, D)
    dy_or_none = None if dx is dy else contiguous("activations.dy", dy).reshape(y.shape)  # (N, D)
    if db is None:
        db = scratch("activations.no_db", (K,), dx.dtype)
    rows = scratch_of_parts("activations.rows", count, y.shape[1:], dx.dtype)
    totals = scratch_of_parts("activations.totals", count, (K,), np.float64)
    db = db.reshape(-1, K)  # (1, K) or (N, K)
    dx = dx.reshape(y.shape)  # (N, D)
    return count, dy_or_none, y, dx.dtype.type(slope), rows, totals, dx, db


def bias_activation_double_backward(
    dv: Array,
    u: Array,
    y: Array,
    activation: str,
    slope: float,
    *,
    dy: Array,
    accumulate: bool = False,
) -> None:
    """dy = dv ⊙ u ⊙ f'_y. Plain form: `cpu_numpy.activations.bias_activation_double_backward`."""
    if not accumulate:
        not_in_kernels()
        dy.fill(0)
    if activation in _DOUBLE_BACKWARD:
        _DOUBLE_BACKWARD[activation](
            contiguous("activations.dv", dv).reshape(-1),
            contiguous("activations.u", u).reshape(-1),
            contiguous("activations.y", y).reshape(-1),
            dy.reshape(-1),
        )


def _forward(f: Function) -> Kernel:
    """The kernel of the name of f, y = f(x + b, slope)."""
    inline = inlined(f)

    def kernel(
        part: int, parts: int, x: Array | None, b: Array, slope: float, rows: Array, y: Array
    ) -> None:
        source = y if x is None else x
        row = part_of(rows, part)
        first, end = share(part, parts, len(y))
        spread(b[0], row)
        for n in range(first, end):
            if len(b) > 1:
                spread(b[n], row)
            for d in range(len(row)):
                y[n, d] = inline(source[n, d] + row[d], slope)

    return threaded(kernel, of=f)


@_forward
def _identity(a: Float, slope: Float) -> Float:
    return a


@_forward
def _relu(a: Float, slope: Float) -> Float:
    return type(a)(0) if a <= 0 else a  # NaN stays NaN


@_forward
def _leaky_relu(a: Float, slope: Float) -> Float:
    return a if a > 0 else slope * a


@_forward
def _elu(a: Float, slope: Float) -> Float:
    return a if a > 0 else slope * expm1(a)


@_forward
def _sigmoid(a: Float, slope: Float) -> Float:
    return sigmoid(a)


@_forward
def _tanh(a: Float, slope: Float) -> Float:
    return tanh(a)


@_forward
def _softplus(a: Float, slope: Float) -> Float:
    return softplus(a)


@elementwise
def _clear(x: Array) -> None:
    for i in range(len(x)):
        x[i] = 0


def _backward(df: Function) -> Kernel:
    """The kernel of the name of df, dx = df(y, dy, slope) and db = Σ dx."""
    inline = inlined(df)

    def kernel(
        part: int,
        parts: int,
        dy: Array | None,
        y: Array,
        slope: float,
        rows: Array,
        totals: Array,
        dx: Array,
        db: Array,
    ) -> None:
        source = dx if dy is None else dy
        row, total = part_of(rows, part), part_of(totals, part)
        _clear(row)
        _clear(total)
        first, end = share(part, parts, len(y))
        block = BLOCK if len(db) == 1 else 1
        for start in range(first, end, block):
            for n in range(start, min(start + block, end)):
                for d in range(len(row)):
                    g = inline(y[n, d], source[n, d], slope)
                    dx[n, d] = g
                    row[d] += g
            collect_gradient(row, start, total, db)

    return threaded(kernel, of=df)


@_backward
def _identity_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy


@_backward
def _relu_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy if y > 0 else type(dy)(0)


@_backward
def _leaky_relu_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy if y > 0 else slope * dy


@_backward
def _elu_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy * (type(dy)(1) if y > 0 else y + slope)


@_backward
def _sigmoid_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy * (y * (type(dy)(1) - y))


@_backward
def _tanh_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy * (type(dy)(1) - y * y)


@_backward
def _softplus_backward(y: Float, dy: Float, slope: Float) -> Float:
    return dy * -expm1(-y)


_FORWARD = {
    "identity": _identity,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
}
_BACKWARD = {
    "identity": _identity_backward,
    "relu": _relu_backward,
    "leaky_relu": _leaky_relu_backward,
    "elu": _elu_backward,
    "sigmoid": _sigmoid_backward,
    "tanh": _tanh_backward,
    "softplus": _softplus_backward,
}


@serial
def _elu_double_backward(dv: Array, u: Array, y: Array, dy: Array) -> None:
    zero = dy.dtype.type(0)
    for i in range(len(dy)):
        dy[i] += zero if y[i] > 0 else dv[i] * u[i]


@serial
def _sigmoid_double_backward(dv: Array, u: Array, y: Array, dy: Array) -> None:
    one = dy.dtype.type(1)
    for i in range(len(dy)):
        dy[i] += dv[i] * u[i] * (one - (y[i] + y[i]))


@serial
def _tanh_double_backward(dv: Array, u: Array, y: Array, dy: Array) -> None:
    for i in range(len(dy)):
        dy[i] -= dv[i] * u[i] * (y[i] + y[i])


@serial
def _softplus_double_backward(dv: Array, u: Array, y: Array, dy: Array) -> None:
    for i in range(len(dy)):
        dy[i] += dv[i] * u[i] * exp(-y[i])


_DOUBLE_BACKWARD = {
    "elu": _elu_double_backward,
    "sigmoid": _sigmoid_double_backward,
    "tanh": _tanh_double_backward,
    "softplus": _softplus_double_backward,
}
