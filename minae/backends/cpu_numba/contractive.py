"""The contractive penalty of one dense layer: w is read for its norms and for its gradient."""

from minae.backends.cpu_numba.activations import (
    bias_activation_backward,
    bias_activation_double_backward,
)
from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.jit import serial_reduction
from minae.backends.cpu_numpy.arrays import ones
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
    """scale · Σ f'(y)² ‖w[k]‖². Plain form: `cpu_numpy.contractive.contractive_penalty`."""
    N, K = y.shape
    w = contiguous("contractive.w", w)
    one = ones(N * K, y.dtype).reshape(N, K)
    norms = scratch("contractive.norms", (K,), w.dtype)
    slopes = scratch("contractive.slopes", (N, K), y.dtype)
    terms = scratch("contractive.terms", (N, K), y.dtype)
    sums = scratch("contractive.sums", (K,), y.dtype)
    _norms(w, norms)
    bias_activation_backward(one, y, activation, slope, dx=slopes, db=None)  # f'
    _penalty(slopes, norms, float(scale), terms, sums, value)
    if dy is not None and dw is not None:
        bias_activation_double_backward(terms, one, y, activation, slope, dy=dy)
        _weight_gradient(w, sums, dw)


@serial_reduction
def _norms(w: Array, norms: Array) -> None:
    """norms[k] = ‖w[k]‖²."""
    for k in range(len(w)):
        square = w.dtype.type(0)
        for d in range(w.shape[1]):
            square += w[k, d] * w[k, d]
        norms[k] = square


@serial_reduction
def _penalty(
    slopes: Array, norms: Array, scale: float, terms: Array, sums: Array, value: Array
) -> None:
    """value[0] = scale · Σ slopes² norms; terms = 2 scale · slopes · norms, sums = 2 scale · Σ_n
    slopes²."""
    N, K = slopes.shape
    factor = slopes.dtype.type(2 * scale)
    total = 0.0
    for k in range(K):
        sums[k] = 0
    for n in range(N):
        of_sample = slopes.dtype.type(0)
        for k in range(K):
            square = slopes[n, k] * slopes[n, k]
            of_sample += square * norms[k]
            terms[n, k] = factor * slopes[n, k] * norms[k]
            sums[k] += factor * square
        total += of_sample
    value[0] = scale * total


@serial_reduction
def _weight_gradient(w: Array, sums: Array, dw: Array) -> None:
    """dw[k] = sums[k] w[k]."""
    for k in range(len(w)):
        for d in range(w.shape[1]):
            dw[k, d] = sums[k] * w[k, d]
