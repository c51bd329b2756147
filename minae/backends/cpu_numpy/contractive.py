"""The contractive penalty of one dense layer. Derivation: `reference/contractive.py`."""

import numpy as np

from minae.backends.cpu_numpy.activations import (
    bias_activation_backward,
    bias_activation_double_backward,
)
from minae.backends.cpu_numpy.arrays import contiguous, ones, over_samples, scratch
from minae.backends.cpu_numpy.losses import total
from minae.backends.spec import Array


def contractive_penalty(
    y: Array,
    w: Array,
    activation: str,
    slope: float,
    scale: float,
    *,
    value: Array,
    dy: Array | None,
    dw: Array | None,
) -> None:
    """scale · Σ f'(y)² ‖w[k]‖² and its gradients by y and w; see spec."""
    (N, K), D = y.shape, w.shape[1]
    w = contiguous("contractive.w", w)
    squares = scratch("contractive.squares", (K, D), w.dtype)
    norms = scratch("contractive.norms", (K,), w.dtype)
    slopes = scratch("contractive.slopes", (N, K), y.dtype)
    terms = scratch("contractive.terms", (N, K), y.dtype)
    one = ones(N * K, y.dtype).reshape(N, K)

    np.multiply(w, w, out=squares)
    np.matmul(squares, ones(D, w.dtype), out=norms)
    bias_activation_backward(one, y, activation, slope, dx=slopes, db=None)  # f'
    over_samples(np.multiply, slopes, norms, out=terms)  # f' ‖w‖²
    if dy is not None and dw is not None:
        bias_activation_double_backward(terms, one, y, activation, slope, dy=dy)
        np.multiply(dy, 2 * scale, out=dy)
    np.multiply(terms, slopes, out=terms)
    total(terms, scale, value=value)
    if dy is not None and dw is not None:
        np.multiply(slopes, slopes, out=slopes)
        np.matmul(ones(N, y.dtype), slopes, out=norms)  # Σ_n f'²
        np.copyto(squares, norms[:, None])
        np.multiply(squares, 2 * scale, out=squares)
        np.multiply(squares, w, out=dw)
