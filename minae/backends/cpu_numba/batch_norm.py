"""Batch normalisation in three passes forward (mean, variance, result) and two backward.

Plain form: `cpu_numpy/batch_norm.py`, a pass over memory, and often a temporary array, for each
operation. Samples are rows of D = C or C·H·W numbers, with what belongs to a channel spread over H
and W (`channels.py`). Sums are taken in blocks of 64 samples, the blocks in float64.
"""

import math

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.channels import BLOCK, collect, spread
from minae.backends.cpu_numba.jit import not_in_kernels, serial
from minae.backends.spec import Array


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
    """out = gamma (x - mean) · inv_std + beta with the batch's statistics.

    Plain form: `cpu_numpy.batch_norm.batch_norm_forward`.
    """
    x, M = _samples("batch_norm.x", x)
    rows, values, totals = _space(x, gamma)
    running = running_mean, running_var
    _statistics(x, *running, float(momentum), float(eps), M, rows, totals, mean, inv_std)
    _normalise(x, gamma, beta, mean, inv_std, rows, values, out.reshape(x.shape))


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
    """out = gamma (x - running_mean) (running_var + eps)^(-1/2) + beta.

    Plain form: `cpu_numpy.batch_norm.batch_norm_inference`.
    """
    x, _ = _samples("batch_norm.x", x)
    rows, values, _ = _space(x, gamma)
    inv_std = scratch("batch_norm.inv_std", gamma.shape, x.dtype)
    not_in_kernels()
    np.add(running_var, eps, out=inv_std)
    np.sqrt(inv_std, out=inv_std)
    np.divide(1, inv_std, out=inv_std)
    _normalise(x, gamma, beta, running_mean, inv_std, rows, values, out.reshape(x.shape))


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
    """dx = gamma inv_std (dy - dbeta/M - x̂ dgamma/M);  dgamma = Σ dy x̂;  dbeta = Σ dy.

    Plain form: `cpu_numpy.batch_norm.batch_norm_backward`.
    """
    dy, _ = _samples("batch_norm.dy", dy)
    x, M = _samples("batch_norm.x", x)
    dx = dx.reshape(x.shape)  # (N, D)
    _gradients(dy, x, gamma, mean, inv_std, M, *_space(x, gamma), dx, dgamma, dbeta)


def _samples(slot: str, x: Array) -> tuple[Array, int]:
    """x as (N, D), and M = N·H·W, the numbers of a channel."""
    return contiguous(slot, x).reshape(len(x), -1), x.size // x.shape[1]


def _space(x: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """Scratch: rows (4, D), values (3, C) and, in float64, totals (2, C)."""
    rows = scratch("batch_norm.rows", (4, x.shape[1]), x.dtype)
    values = scratch("batch_norm.values", (3, len(gamma)), x.dtype)
    totals = scratch("batch_norm.totals", (2, len(gamma)), np.float64)
    return rows, values, totals


@serial
def _statistics(
    x: Array,
    running_mean: Array,
    running_var: Array,
    momentum: float,
    eps: float,
    M: int,
    rows: Array,
    totals: Array,
    mean: Array,
    inv_std: Array,
) -> None:
    """mean, inv_std and the running statistics. The second pass sums (x - mean)² and x - mean: the
    latter is what rounding left out of the mean, and corrects both (Chan, Golub, LeVeque 1983)."""
    N, D = x.shape
    total, squares, center = rows[0], rows[1], rows[2]
    rows[:] = 0
    totals[:] = 0
    for n in range(N):
        for d in range(D):
            total[d] += x[n, d]
        if n % BLOCK == BLOCK - 1 or n == N - 1:
            collect(total, totals[0])
    for c in range(len(mean)):
        mean[c] = totals[0, c] / M
        totals[0, c] = 0
    spread(mean, center)
    for n in range(N):
        for d in range(D):
            e = x[n, d] - center[d]
            total[d] += e
            squares[d] += e * e
        if n % BLOCK == BLOCK - 1 or n == N - 1:
            collect(total, totals[0])
            collect(squares, totals[1])
    for c in range(len(mean)):
        rest = totals[0, c] / M
        var = totals[1, c] / M - rest * rest
        exact_mean = mean[c] + rest
        mean[c] = exact_mean
        inv_std[c] = 1.0 / math.sqrt(var + eps)
        running_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * exact_mean
        running_var[c] = (1.0 - momentum) * running_var[c] + momentum * (var * M / (M - 1))


@serial
def _normalise(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    inv_std: Array,
    rows: Array,
    values: Array,
    y: Array,
) -> None:
    N, D = x.shape
    center, factor, shift = rows[0], rows[1], rows[2]
    for c in range(len(gamma)):
        values[0, c] = gamma[c] * inv_std[c]
    spread(mean, center)
    spread(values[0], factor)
    spread(beta, shift)
    for n in range(N):
        for d in range(D):
            y[n, d] = (x[n, d] - center[d]) * factor[d] + shift[d]


@serial
def _gradients(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    inv_std: Array,
    M: int,
    rows: Array,
    values: Array,
    totals: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
) -> None:
    """dx = factor · (dy - share - slope · (x - mean)) with factor = gamma · inv_std,
    share = dbeta / M, slope = inv_std · dgamma / M."""
    N, D = x.shape
    center, of_beta, of_gamma = rows[0], rows[1], rows[2]
    rows[:] = 0
    totals[:] = 0
    spread(mean, center)
    for n in range(N):
        for d in range(D):
            of_beta[d] += dy[n, d]
            of_gamma[d] += dy[n, d] * (x[n, d] - center[d])
        if n % BLOCK == BLOCK - 1 or n == N - 1:
            collect(of_beta, totals[0])
            collect(of_gamma, totals[1])
    for c in range(len(gamma)):
        dbeta[c] = totals[0, c]
        dgamma[c] = totals[1, c] * inv_std[c]
        values[0, c] = gamma[c] * inv_std[c]
        values[1, c] = totals[0, c] / M
        values[2, c] = totals[1, c] * inv_std[c] * inv_std[c] / M
    factor, share, slope = rows[1], rows[2], rows[3]
    spread(values[0], factor)
    spread(values[1], share)
    spread(values[2], slope)
    for n in range(N):
        for d in range(D):
            dx[n, d] = factor[d] * (dy[n, d] - share[d] - slope[d] * (x[n, d] - center[d]))
