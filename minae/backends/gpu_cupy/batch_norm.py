"""Batch normalization. Plain form: `cpu_numpy/batch_norm.py`."""

import numpy as np

from minae.backends.gpu_cupy.arrays import channel_sums, channels, contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array

FILE = "batch_norm"


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
    """out = gamma x̂ + beta with the batch's statistics; see spec."""
    N, C, L = channels(x)
    M, dtype = np.float64(N * L), out.dtype
    x = contiguous("batch_norm.x", x)
    gamma, beta = contiguous("batch_norm.gamma", gamma), contiguous("batch_norm.beta", beta)
    channel_sums(FILE, "batch_norm_mean", dtype, x, x, M, mean)
    numbers = (M, np.float64(momentum), np.float64(eps))
    given = (x, mean, *numbers, inv_std, running_mean, running_var)
    channel_sums(FILE, "batch_norm_statistics", dtype, x, *given)
    launch(
        FILE,
        "batch_norm_forward",
        dtype,
        for_each(x.size),
        x,
        gamma,
        beta,
        mean,
        inv_std,
        x.size,
        C,
        L,
        out,
    )


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
    """out = gamma x̂ + beta with the running statistics; see spec."""
    _, C, L = channels(x)
    launch(
        FILE,
        "batch_norm_inference",
        out.dtype,
        for_each(x.size),
        contiguous("batch_norm.x", x),
        contiguous("batch_norm.gamma", gamma),
        contiguous("batch_norm.beta", beta),
        contiguous("batch_norm.mean", running_mean),
        contiguous("batch_norm.var", running_var),
        float(eps),
        x.size,
        C,
        L,
        out,
    )


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
    """dbeta = Σ dy, dgamma = Σ dy x̂, and dx from both; see spec."""
    N, C, L = channels(x)
    dtype = dx.dtype
    dy, x = contiguous("batch_norm.dy", dy), contiguous("batch_norm.x", x)
    gamma = contiguous("batch_norm.gamma", gamma)
    mean, inv_std = contiguous("batch_norm.mean", mean), contiguous("batch_norm.std", inv_std)
    channel_sums(FILE, "batch_norm_mean", dtype, dy, dy, np.float64(1), dbeta)
    channel_sums(FILE, "batch_norm_dgamma", dtype, x, dy, x, mean, inv_std, dgamma)
    launch(
        FILE,
        "batch_norm_backward",
        dtype,
        for_each(x.size),
        dy,
        x,
        gamma,
        mean,
        inv_std,
        dgamma,
        dbeta,
        float(N * L),
        x.size,
        C,
        L,
        dx,
    )
