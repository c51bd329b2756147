"""Losses: the value and the gradient in one pass over the arrays.

Plain form: `cpu_numpy/losses.py`, which makes a pass (and a temporary array) for each step of the
formula. The value is summed over a sample in its dtype, over samples in float64, by each thread
over its part. A kernel whose gradient replaces its input gets None for the input, see
`activations.py`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.jit import serial, threaded_reduction
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vector_math import log, log1p, sigmoid, softplus
from minae.backends.spec import Array

_NEAR = 1024  # bytes: more than one turn of a vectorized loop takes
ArrayOrNone: TypeAlias = Any  # a kernel is compiled for each, `is None` costs nothing


def bce_with_logits(
    logits: Array, t: Array, scale: float, *, value: Array, dlogits: Array | None
) -> None:
    """Σ softplus(a) - a t; dlogits = scale (σ(a) - t). One exponential serves both.

    Plain form: `cpu_numpy.losses.bce_with_logits`.
    """
    _loss(_bce_with_logits, logits, t, scale, value, dlogits)


def bce(p: Array, t: Array, scale: float, *, value: Array, dp: Array | None) -> None:
    """Σ -(t log p + (1 - t) log(1 - p)). Plain form: `cpu_numpy.losses.bce`."""
    _loss(_bce, p, t, scale, value, dp)


def mse(y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
    """Σ (y - t)². Plain form: `cpu_numpy.losses.mse`."""
    _loss(_mse, y, t, scale, value, dy)


def l1(y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
    """Σ |y - t|. Plain form: `cpu_numpy.losses.l1`."""
    _loss(_l1, y, t, scale, value, dy)


def _loss(
    kernel: Callable[..., None],
    y: Array,
    t: Array,
    scale: float,
    value: Array,
    dy: Array | None,
) -> None:
    """value = scale · the sum of the kernel's totals, one a part, over the arrays as (N, D).

    A loop that writes dy within a few vectors of what it reads takes the numbers one by one, and
    their sum is rounded otherwise than in lanes. So that no value depends on where small arrays
    happen to lie, theirs is summed by the kernel that writes no dy.
    """
    N = len(t)
    in_place = y is dy
    y = contiguous("losses.y", y).reshape(N, -1)  # (N, D)
    t = contiguous("losses.t", t).reshape(N, -1)  # (N, D)
    count, factor = parts(N, t.size), t.dtype.type(scale)
    totals = scratch("losses.totals", (count,), np.float64)
    if dy is None or t.nbytes < _NEAR:
        kernel(count, y, t, factor, totals, None)
        add_totals(totals, float(scale), value)
    if dy is not None:
        kernel(count, None if in_place else y, t, factor, totals, dy.reshape(N, -1))
        if t.nbytes >= _NEAR:
            add_totals(totals, float(scale), value)


@serial
def add_totals(totals: Array, scale: float, value: Array) -> None:
    """value[0] = scale · Σ totals, in their order."""
    total = 0.0
    for part in range(len(totals)):
        total += totals[part]
    value[0] = scale * total


@threaded_reduction
def _bce_with_logits(
    part: int, parts: int, y: ArrayOrNone, t: Array, scale: float, totals: Array, dy: ArrayOrNone
) -> None:
    source = dy if y is None else y
    total = 0.0
    first, end = share(part, parts, len(t))
    for n in range(first, end):
        of_sample = t.dtype.type(0)
        for d in range(t.shape[1]):
            a = source[n, d]
            of_sample += softplus(a) - a * t[n, d]
            if dy is not None:
                dy[n, d] = scale * (sigmoid(a) - t[n, d])
        total += of_sample
    totals[part] = total


@threaded_reduction
def _bce(
    part: int, parts: int, y: ArrayOrNone, t: Array, scale: float, totals: Array, dy: ArrayOrNone
) -> None:
    source = dy if y is None else y
    one = t.dtype.type(1)
    least_log = t.dtype.type(-100)
    least_variance = t.dtype.type(1e-12)
    total = 0.0
    first, end = share(part, parts, len(t))
    for n in range(first, end):
        of_sample = t.dtype.type(0)
        for d in range(t.shape[1]):
            p = source[n, d]
            log_p = log(p)
            log_q = log1p(-p)
            log_p = least_log if log_p < least_log else log_p
            log_q = least_log if log_q < least_log else log_q
            of_sample -= t[n, d] * log_p + (one - t[n, d]) * log_q
            if dy is not None:
                variance = p * (one - p)
                variance = least_variance if variance < least_variance else variance
                dy[n, d] = scale * (p - t[n, d]) / variance
        total += of_sample
    totals[part] = total


@threaded_reduction
def _mse(
    part: int, parts: int, y: ArrayOrNone, t: Array, scale: float, totals: Array, dy: ArrayOrNone
) -> None:
    source = dy if y is None else y
    two_scale = scale + scale
    total = 0.0
    first, end = share(part, parts, len(t))
    for n in range(first, end):
        of_sample = t.dtype.type(0)
        for d in range(t.shape[1]):
            e = source[n, d] - t[n, d]
            of_sample += e * e
            if dy is not None:
                dy[n, d] = two_scale * e
        total += of_sample
    totals[part] = total


@threaded_reduction
def _l1(
    part: int, parts: int, y: ArrayOrNone, t: Array, scale: float, totals: Array, dy: ArrayOrNone
) -> None:
    source = dy if y is None else y
    zero = t.dtype.type(0)
    total = 0.0
    first, end = share(part, parts, len(t))
    for n in range(first, end):
        of_sample = t.dtype.type(0)
        for d in range(t.shape[1]):
            e = source[n, d] - t[n, d]
            of_sample += abs(e)
            if dy is not None:
                sign = scale if e > 0 else -scale
                dy[n, d] = e if e != e else zero if e == 0 else sign
        total += of_sample
    totals[part] = total
