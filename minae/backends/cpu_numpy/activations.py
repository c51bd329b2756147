"""Bias and activation, and both backwards from the output alone.

One whole-array pass an arithmetic step, in place where possible. Without AVX-512, NumPy has vector
code for exp, log and tanh but not for log1p and expm1, which take ten times as long; these two
are therefore written with the former. Derivation: `reference/activations.py`.
"""

import numpy as np

from minae.backends.cpu_numpy.arrays import (
    contiguous,
    over_samples,
    scratch,
    sum_channels,
    sum_pixels,
)
from minae.backends.spec import Array


def log1p(x: Array, *, out: Array) -> None:
    """out = log(1 + x) for -1 <= x <= 1, to a few units in the last place. out is not x.

    u = 1 + x is rounded by x - (u - 1), which to first order is what log(u) lacks times u. The
    factor u may be left out: where it is far from 1, x is large and its rounding small beside it.
    """
    u = scratch("log1p.u", x.shape, x.dtype)
    np.add(x, 1, out=u)
    np.log(u, out=out)
    np.subtract(u, 1, out=u)
    np.subtract(x, u, out=u)
    np.add(out, u, out=out)


def _elu_exponential(a: Array, slope: float, *, out: Array) -> None:
    """out = slope (exp(m) - 1), m = min(a, 0), as 2 slope T / (1 - T) with T = tanh(m / 2)."""
    denominator = scratch("activations.denominator", a.shape, a.dtype)
    np.minimum(a, 0, out=out)
    np.multiply(out, 0.5, out=out)
    np.tanh(out, out=out)
    np.subtract(1, out, out=denominator)
    np.multiply(out, 2 * slope, out=out)
    np.divide(out, denominator, out=out)


def _identity(a: Array, slope: float, *, out: Array) -> None:
    np.copyto(out, a)


def _relu(a: Array, slope: float, *, out: Array) -> None:
    np.maximum(a, 0, out=out)


def _leaky_relu(a: Array, slope: float, *, out: Array) -> None:
    scaled = scratch("activations.scaled", a.shape, a.dtype)
    np.multiply(a, slope, out=scaled)
    pick = np.maximum if slope <= 1 else np.minimum
    pick(a, scaled, out=out)


def _elu(a: Array, slope: float, *, out: Array) -> None:
    negative = scratch("activations.negative", a.shape, a.dtype)
    _elu_exponential(a, slope, out=negative)
    np.maximum(a, 0, out=out)
    np.add(out, negative, out=out)


def _sigmoid(a: Array, slope: float, *, out: Array) -> None:
    """1 / (1 + exp(-a)): relatively accurate in both tails; exp may overflow to inf, which is 0."""
    np.negative(a, out=out)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(1, out, out=out)


def _tanh(a: Array, slope: float, *, out: Array) -> None:
    np.tanh(a, out=out)


def _softplus(a: Array, slope: float, *, out: Array) -> None:
    exponential = scratch("activations.exponential", a.shape, a.dtype)
    tail = scratch("activations.tail", a.shape, a.dtype)
    np.abs(a, out=exponential)
    np.negative(exponential, out=exponential)
    np.exp(exponential, out=exponential)
    log1p(exponential, out=tail)
    np.maximum(a, 0, out=out)
    np.add(out, tail, out=out)


_FORWARD = {
    "identity": _identity,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
}


def bias_activation_forward(
    x: Array, b: Array | None, activation: str, slope: float, *, out: Array
) -> None:
    """out = f(x + b); see spec."""
    x = contiguous("activations.x", x)
    if b is not None:
        over_samples(np.add, x, b, out=out)
        x = out
    _FORWARD[activation](x, slope, out=out)


def _step(y: Array, slope: float, *, out: Array) -> None:
    """out = 1 if y > 0 else slope. (Arithmetic on a mask is ten times as fast as a masked copy.)"""
    positive = scratch("activations.positive", y.shape, np.bool_)
    np.greater(y, 0, out=positive)
    np.copyto(out, positive)
    if slope != 0:
        np.multiply(out, 1 - slope, out=out)
        np.add(out, slope, out=out)


def _relu_derivative(y: Array, slope: float, *, out: Array) -> None:
    _step(y, 0, out=out)


def _leaky_relu_derivative(y: Array, slope: float, *, out: Array) -> None:
    _step(y, slope, out=out)


def _elu_derivative(y: Array, slope: float, *, out: Array) -> None:
    negative = scratch("activations.negative", y.shape, y.dtype)
    np.minimum(y, 0, out=negative)
    _step(y, slope, out=out)
    np.add(out, negative, out=out)


def _sigmoid_derivative(y: Array, slope: float, *, out: Array) -> None:
    np.subtract(1, y, out=out)
    np.multiply(out, y, out=out)


def _tanh_derivative(y: Array, slope: float, *, out: Array) -> None:
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)


def _softplus_derivative(y: Array, slope: float, *, out: Array) -> None:
    """1 - exp(-y) as 2T / (1 + T) with T = tanh(y / 2): keeps its digits where y is small."""
    denominator = scratch("activations.denominator", y.shape, y.dtype)
    np.multiply(y, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=denominator)
    np.multiply(out, 2, out=out)
    np.divide(out, denominator, out=out)


_DERIVATIVE = {
    "relu": _relu_derivative,
    "leaky_relu": _leaky_relu_derivative,
    "elu": _elu_derivative,
    "sigmoid": _sigmoid_derivative,
    "tanh": _tanh_derivative,
    "softplus": _softplus_derivative,
}


def bias_activation_backward(
    dy: Array,
    y: Array,
    activation: str,
    slope: float,
    *,
    dx: Array,
    db: Array | None,
) -> None:
    """dx = dy ⊙ f'(x); db sums dx; see spec."""
    if activation == "identity":
        np.copyto(dx, dy)
    else:
        dy = contiguous("activations.dy", dy)
        y = contiguous("activations.y", y)
        derivative = scratch("activations.derivative", y.shape, y.dtype)
        _DERIVATIVE[activation](y, slope, out=derivative)
        np.multiply(dy, derivative, out=dx)
    if db is None:
        return
    if db.ndim == 1:
        sum_channels(dx, out=db)
    elif dx.ndim == 4:
        sum_pixels(dx, out=db)
    else:
        np.copyto(db, dx)


def _elu_second(y: Array, slope: float, *, out: Array) -> None:
    positive = scratch("activations.positive", y.shape, np.bool_)
    np.greater(y, 0, out=positive)
    np.copyto(out, positive)
    np.subtract(1, out, out=out)


def _sigmoid_second(y: Array, slope: float, *, out: Array) -> None:
    np.multiply(y, -2, out=out)
    np.add(out, 1, out=out)


def _tanh_second(y: Array, slope: float, *, out: Array) -> None:
    np.multiply(y, -2, out=out)


def _softplus_second(y: Array, slope: float, *, out: Array) -> None:
    np.negative(y, out=out)
    np.exp(out, out=out)


_SECOND = {
    "elu": _elu_second,
    "sigmoid": _sigmoid_second,
    "tanh": _tanh_second,
    "softplus": _softplus_second,
}


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
    """dy = dv ⊙ u ⊙ f'_y, the derivative of f' by y; see spec."""
    if activation not in _SECOND:
        if not accumulate:
            dy.fill(0)
        return
    y = contiguous("activations.y", y)
    second = scratch("activations.derivative", y.shape, y.dtype)
    _SECOND[activation](y, slope, out=second)
    np.multiply(second, contiguous("activations.u", u), out=second)
    np.multiply(second, contiguous("activations.dy", dv), out=second)
    if accumulate:
        np.add(dy, second, out=dy)
    else:
        np.copyto(dy, second)
