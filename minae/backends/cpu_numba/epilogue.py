"""Bias and activation of samples that a convolution has just made, while they lie in the cache.

A layer asks for them in an operation of its own, a pass over all that the convolution has written;
`fusion.py` finds the two in a recorded step and puts the second into the first. Forward that saves
a reading and a writing of y; backward, where f' and the bias gradient follow the convolution which
makes dy, it saves dy, which then is nowhere written. Plain form: the convolution, and
`activations.bias_activation_forward` or `_backward` after it.

The activation has to be a rectifier, f(a) = a where a > 0, else slope · a: identity with slope 1,
ReLU with 0, leaky ReLU. So one kernel of a convolution serves all; of another activation each one
would be compiled again.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minae.backends.cpu_numba.channels import add_parts, collect_gradient, spread
from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numba.threads import most_parts
from minae.backends.cpu_numpy.arrays import contiguous, scratch
from minae.backends.spec import Array

TOGETHER = (
    16  # samples that are finished at a time: large images of so many lie in the second cache
)
_NOTHING, _FORWARD, _BACKWARD = range(3)


class Epilogue(NamedTuple):
    """What is to be done to samples of a convolution's output, of K channels and D numbers."""

    direction: int
    slope: float
    b: Array  # (1, K) or (N, K), forward
    y: Array  # (N, D), backward
    rows: Array  # (parts, D): b spread over a sample; the sum of gradients
    totals: Array  # float64 (parts, K), backward
    db: Array  # (1, K) or (N, K), backward


def rectifier(activation: str, slope: float) -> float | None:
    """The slope where a <= 0, or None: not a rectifier."""
    return {"identity": 1.0, "relu": 0.0, "leaky_relu": slope}.get(activation)


@cache
def nothing(dtype: np.dtype[Any]) -> Epilogue:
    """The epilogue of a convolution alone."""
    none = np.empty((0, 0), dtype)
    return Epilogue(_NOTHING, dtype.type(0), none, none, none, np.empty((0, 0)), none)


def activated(
    convolve: Callable[..., None],
    arguments: dict[str, Any],
    b: Array | None,
    slope: float,
    *,
    out: Array,
) -> None:
    """out = f(convolve(**arguments) + b), f the rectifier of this slope."""
    K = out.shape[1]
    none = nothing(out.dtype)
    if b is None:
        b = scratch("epilogue.no_bias", (K,), out.dtype)
        b.fill(0)
    rows = scratch("epilogue.rows", (most_parts(), out[0].size), out.dtype)
    b = contiguous("epilogue.b", b).reshape(-1, K)  # (1, K) or (N, K)
    epilogue = none._replace(direction=_FORWARD, slope=out.dtype.type(slope), b=b, rows=rows)
    convolve(**arguments, epilogue=epilogue, out=out)


def differentiated(
    convolve: Callable[..., None],
    arguments: dict[str, Any],
    y: Array,
    slope: float,
    *,
    dx: Array,
    db: Array | None,
) -> None:
    """dx = convolve(**arguments) ⊙ f'(x), db = Σ dx, where y = f(x), f the rectifier of this slope.

    db is summed in blocks of 16 samples, the blocks and then the parts in float64.
    """
    N, K = y.shape[:2]
    if db is None:
        db = scratch("epilogue.no_db", (K,), dx.dtype)
    rows = scratch("epilogue.rows", (most_parts(), dx[0].size), dx.dtype)
    totals = scratch("epilogue.totals", (most_parts(), K), np.float64)
    rows.fill(0)
    totals.fill(0)
    db = db.reshape(-1, K)  # (1, K) or (N, K)
    epilogue = nothing(dx.dtype)._replace(
        direction=_BACKWARD,
        slope=dx.dtype.type(slope),
        y=y.reshape(N, -1),  # (N, D)
        rows=rows,
        totals=totals,
        db=db,
    )
    convolve(**arguments, epilogue=epilogue, out=dx)
    add_parts(totals, db)


@elementwise
def finish(epilogue: Epilogue, part: int, first: int, end: int, out: Array) -> None:
    """What there is to do for samples first, ..., end - 1 of out (N, D), by this part's thread."""
    if epilogue.direction == _FORWARD:
        _activate(epilogue.b, epilogue.slope, epilogue.rows[part], first, end, out)
    elif epilogue.direction == _BACKWARD:
        row, totals = epilogue.rows[part], epilogue.totals[part]
        block = 1 if len(epilogue.db) > 1 else end - first
        for n in range(first, end, block):
            _differentiate(epilogue.y, epilogue.slope, row, n, n + block, out)
            collect_gradient(row, n, totals, epilogue.db)


@elementwise
def _activate(b: Array, slope: float, row: Array, first: int, end: int, out: Array) -> None:
    """out[n] = f(out[n] + b)."""
    zero = out.dtype.type(0)
    for n in range(first, end):
        if n == first or len(b) > 1:
            spread(b[n % len(b)], row)
        if slope == 0:
            for d in range(len(row)):
                a = out[n, d] + row[d]
                out[n, d] = zero if a <= 0 else a
        else:
            for d in range(len(row)):
                a = out[n, d] + row[d]
                out[n, d] = a if a > 0 else slope * a


@elementwise
def _differentiate(y: Array, slope: float, row: Array, first: int, end: int, out: Array) -> None:
    """out[n] = out[n] ⊙ f', and row += out[n]."""
    zero = out.dtype.type(0)
    for n in range(first, end):
        if slope == 0:
            for d in range(len(row)):
                out[n, d] = out[n, d] if y[n, d] > 0 else zero
                row[d] += out[n, d]
        else:
            for d in range(len(row)):
                out[n, d] = out[n, d] if y[n, d] > 0 else slope * out[n, d]
                row[d] += out[n, d]
