"""Element-wise losses: value and gradient together, the value summed in double precision.

Derivation: `reference/losses.py`.
"""

import numpy as np

from minae.backends.cpu_numpy.activations import log1p
from minae.backends.cpu_numpy.arrays import contiguous, in_double, scratch
from minae.backends.spec import Array


def total(terms: Array, scale: float, *, value: Array) -> None:
    """value[0] = scale · Σ terms, summed pairwise in float64."""
    value[0] = scale * np.add.reduce(in_double("losses.double", terms), axis=None)


def bce_with_logits(
    logits: Array, t: Array, scale: float, *, value: Array, dlogits: Array | None
) -> None:
    """Σ max(a, 0) - a t + log1p(e), e = exp(-|a|), and scale (σ(a) - t); see spec.

    With m = min(a, 0): max(a, 0) - a t = a (1 - t) - m and σ(a) = exp(m) / (1 + e), where no
    exponential overflows and both tails keep their digits.
    """
    a = contiguous("losses.y", logits)
    t = contiguous("losses.t", t)
    m = scratch("losses.m", a.shape, a.dtype)
    e = scratch("losses.e", a.shape, a.dtype)
    terms = scratch("losses.terms", a.shape, a.dtype)
    rest = scratch("losses.rest", a.shape, a.dtype)

    np.minimum(a, 0, out=m)
    np.abs(a, out=e)
    np.negative(e, out=e)
    np.exp(e, out=e)
    log1p(e, out=terms)
    np.subtract(1, t, out=rest)
    np.multiply(rest, a, out=rest)
    np.subtract(rest, m, out=rest)
    np.add(terms, rest, out=terms)
    total(terms, scale, value=value)
    if dlogits is None:
        return
    np.exp(m, out=m)
    np.add(e, 1, out=e)
    np.divide(m, e, out=m)
    np.subtract(m, t, out=m)
    np.multiply(m, scale, out=dlogits)


def bce(p: Array, t: Array, scale: float, *, value: Array, dp: Array | None) -> None:
    """Σ -(t log p + (1 - t) log(1 - p)) and scale (p - t) / (p (1 - p)); see spec."""
    p = contiguous("losses.y", p)
    t = contiguous("losses.t", t)
    terms = scratch("losses.terms", p.shape, p.dtype)
    rest = scratch("losses.rest", p.shape, p.dtype)
    q = scratch("losses.e", p.shape, p.dtype)

    np.negative(p, out=q)
    with np.errstate(divide="ignore"):
        np.log(p, out=terms)
        log1p(q, out=rest)
    np.maximum(terms, -100, out=terms)
    np.maximum(rest, -100, out=rest)
    np.multiply(terms, t, out=terms)
    np.subtract(1, t, out=q)
    np.multiply(rest, q, out=rest)
    np.add(terms, rest, out=terms)
    total(terms, -scale, value=value)
    if dp is None:
        return
    np.subtract(1, p, out=q)
    np.multiply(q, p, out=q)
    np.maximum(q, 1e-12, out=q)
    np.subtract(p, t, out=dp)
    np.divide(dp, q, out=dp)
    np.multiply(dp, scale, out=dp)


def mse(y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
    """Σ (y - t)² and 2 scale (y - t); see spec."""
    y = contiguous("losses.y", y)
    t = contiguous("losses.t", t)
    difference = scratch("losses.rest", y.shape, y.dtype)
    terms = scratch("losses.terms", y.shape, y.dtype)
    np.subtract(y, t, out=difference)
    np.multiply(difference, difference, out=terms)
    total(terms, scale, value=value)
    if dy is not None:
        np.multiply(difference, 2 * scale, out=dy)


def l1(y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
    """Σ |y - t| and scale · sign(y - t); see spec."""
    y = contiguous("losses.y", y)
    t = contiguous("losses.t", t)
    difference = scratch("losses.rest", y.shape, y.dtype)
    terms = scratch("losses.terms", y.shape, y.dtype)
    np.subtract(y, t, out=difference)
    np.abs(difference, out=terms)
    total(terms, scale, value=value)
    if dy is not None:
        np.sign(difference, out=dy)
        np.multiply(dy, scale, out=dy)
