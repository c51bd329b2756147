"""Batch normalisation: sums over a channel are products with ones. Derivation:
`reference/batch_norm.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous, over_samples, scratch, sum_channels
from minae.backends.spec import Array


def _update(running: Array, batch: Array, momentum: float) -> None:
    """running = (1 - momentum) running + momentum · batch; overwrites batch."""
    np.multiply(running, 1 - momentum, out=running)
    np.multiply(batch, momentum, out=batch)
    np.add(running, batch, out=running)


def _inverse_root(var: Array, eps: float, *, out: Array) -> None:
    """out = (var + eps)^(-1/2)."""
    np.add(var, eps, out=out)
    np.sqrt(out, out=out)
    np.divide(1, out, out=out)


def batch_norm_forward(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    momentum: float,
    eps: float,
    *,
    out: Array,
    mean: Array,
    inv_std: Array,
) -> None:
    """out = gamma (x - mean) · inv_std + beta with the batch's statistics; see spec.

    The variance is taken from x - mean. The mean of that, `rest`, is what rounding left out of
    the mean; it corrects both (Chan, Golub and LeVeque 1983).
    """
    M = x.size // x.shape[1]
    x = contiguous("batch_norm.x", x)
    rest = scratch("batch_norm.rest", mean.shape, x.dtype)
    var = scratch("batch_norm.var", mean.shape, x.dtype)
    small = scratch("batch_norm.small", mean.shape, x.dtype)
    squares = scratch("batch_norm.squares", x.shape, x.dtype)

    sum_channels(x, out=mean)
    np.divide(mean, M, out=mean)
    over_samples(np.subtract, x, mean, out=out)
    sum_channels(out, out=rest)
    np.divide(rest, M, out=rest)
    np.multiply(out, out, out=squares)
    sum_channels(squares, out=var)
    np.divide(var, M, out=var)
    np.multiply(rest, rest, out=small)
    np.subtract(var, small, out=var)
    np.add(mean, rest, out=mean)
    _inverse_root(var, eps, out=inv_std)

    np.copyto(small, mean)
    _update(running_mean, small, momentum)
    np.multiply(var, M / (M - 1), out=small)
    _update(running_var, small, momentum)

    np.multiply(gamma, inv_std, out=small)
    over_samples(np.multiply, out, small, out=out)
    np.multiply(rest, small, out=rest)
    np.subtract(beta, rest, out=rest)
    over_samples(np.add, out, rest, out=out)


def batch_norm_inference(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    eps: float,
    *,
    out: Array,
) -> None:
    """out = gamma (x - running_mean) (running_var + eps)^(-1/2) + beta; see spec."""
    x = contiguous("batch_norm.x", x)
    factor = scratch("batch_norm.small", gamma.shape, x.dtype)
    _inverse_root(running_var, eps, out=factor)
    np.multiply(factor, gamma, out=factor)
    over_samples(np.subtract, x, running_mean, out=out)
    over_samples(np.multiply, out, factor, out=out)
    over_samples(np.add, out, beta, out=out)


def batch_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    inv_std: Array,
    *,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
) -> None:
    """dx = gamma inv_std (dy - dbeta/M - x̂ dgamma/M), dgamma, dbeta; see spec."""
    M = x.size // x.shape[1]
    dy = contiguous("batch_norm.dy", dy)
    x = contiguous("batch_norm.x", x)
    centred = scratch("batch_norm.squares", x.shape, x.dtype)
    factor = scratch("batch_norm.small", gamma.shape, x.dtype)
    of_x = scratch("batch_norm.var", gamma.shape, x.dtype)
    shift = scratch("batch_norm.rest", gamma.shape, x.dtype)

    over_samples(np.subtract, x, mean, out=centred)
    np.multiply(dy, centred, out=dx)
    sum_channels(dx, out=dgamma)
    np.multiply(dgamma, inv_std, out=dgamma)
    sum_channels(dy, out=dbeta)

    # dx = factor · dy + of_x · (x - mean) + shift
    np.multiply(gamma, inv_std, out=factor)
    np.multiply(factor, dbeta, out=shift)
    np.divide(shift, -M, out=shift)
    np.multiply(factor, inv_std, out=of_x)
    np.multiply(of_x, dgamma, out=of_x)
    np.divide(of_x, -M, out=of_x)
    over_samples(np.multiply, dy, factor, out=dx)
    over_samples(np.multiply, centred, of_x, out=centred)
    np.add(dx, centred, out=dx)
    over_samples(np.add, dx, shift, out=dx)
