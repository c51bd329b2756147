"""The importance-weighted bound. Derivation: `reference/iwae.py`."""

import numpy as np

from minae.backends.cpu_numpy.activations import log1p
from minae.backends.cpu_numpy.arrays import contiguous, ones, scratch
from minae.backends.cpu_numpy.losses import total
from minae.backends.spec import Array


def importance_weights_forward(
    logits: Array, t: Array, z: Array, eps: Array, log_var: Array, *, out: Array
) -> None:
    """out = log p(t|z) + log p(z) - log q(z|t), one draw z of all samples at a time; see spec.

    -bce = min(a, 0) - a (1 - t) - log1p(exp(-|a|)), as in `losses.bce_with_logits`.
    """
    k, N, D = logits.shape
    Z = z.shape[2]
    t = contiguous("iwae.t", t)
    log_var = contiguous("iwae.log_var", log_var)
    white = scratch("iwae.white", (N, D), t.dtype)
    e = scratch("iwae.e", (N, D), t.dtype)
    terms = scratch("iwae.terms", (N, D), t.dtype)
    codes = scratch("iwae.codes", (N, Z), t.dtype)
    squares = scratch("iwae.squares", (N, Z), t.dtype)
    of_codes = scratch("iwae.of_codes", (N,), t.dtype)
    np.subtract(1, t, out=white)
    for i in range(k):
        a = contiguous("iwae.a", logits[i])
        np.abs(a, out=e)
        np.negative(e, out=e)
        np.exp(e, out=e)
        log1p(e, out=terms)
        np.multiply(white, a, out=e)
        np.add(terms, e, out=terms)
        np.minimum(a, 0, out=e)
        np.subtract(e, terms, out=terms)
        np.matmul(terms, ones(D, t.dtype), out=out[i])
        zi, eps_i = contiguous("iwae.z", z[i]), contiguous("iwae.eps", eps[i])
        np.multiply(zi, zi, out=codes)
        np.multiply(eps_i, eps_i, out=squares)
        np.subtract(codes, squares, out=codes)
        np.subtract(codes, log_var, out=codes)
        np.matmul(codes, ones(Z, t.dtype), out=of_codes)
        np.multiply(of_codes, 0.5, out=of_codes)
        np.subtract(out[i], of_codes, out=out[i])


def importance_weights_backward(
    weights: Array, logits: Array, t: Array, z: Array, *, dlogits: Array, dz: Array
) -> None:
    """dlogits = weights (σ(logits) - t), dz = weights z; see spec.

    σ(a) = exp(min(a, 0)) / (1 + exp(-|a|)), where no exponential overflows.
    """
    k, N, D = logits.shape
    Z = z.shape[2]
    t = contiguous("iwae.t", t)
    m = scratch("iwae.e", (N, D), t.dtype)
    e = scratch("iwae.terms", (N, D), t.dtype)
    across = scratch("iwae.white", (N, D), t.dtype)
    across_codes = scratch("iwae.codes", (N, Z), t.dtype)
    for i in range(k):
        a = contiguous("iwae.a", logits[i])
        np.minimum(a, 0, out=m)
        np.exp(m, out=m)
        np.abs(a, out=e)
        np.negative(e, out=e)
        np.exp(e, out=e)
        np.add(e, 1, out=e)
        np.divide(m, e, out=m)
        np.subtract(m, t, out=m)
        np.copyto(across, weights[i, :, None])
        np.multiply(m, across, out=dlogits[i])
        np.copyto(across_codes, weights[i, :, None])
        np.multiply(contiguous("iwae.z", z[i]), across_codes, out=dz[i])


def importance_bound(log_w: Array, scale: float, *, value: Array, weights: Array | None) -> None:
    """-scale Σ_n log (1/k Σ_i exp(log_w[i, n])), each column shifted by its maximum; see spec."""
    k, N = log_w.shape
    log_w = contiguous("iwae.log_w", log_w)
    top = scratch("iwae.top", (1, N), log_w.dtype)
    across = scratch("iwae.across", (k, N), log_w.dtype)
    shares = scratch("iwae.shares", (k, N), log_w.dtype)
    sums = scratch("iwae.sums", (N,), log_w.dtype)

    np.maximum.reduce(log_w, axis=0, keepdims=True, out=top)
    np.copyto(across, top)
    np.subtract(log_w, across, out=shares)
    np.exp(shares, out=shares)
    np.matmul(ones(k, log_w.dtype), shares, out=sums)
    if weights is not None:
        np.copyto(across, sums)
        np.divide(shares, across, out=shares)
        np.multiply(shares, scale, out=weights)
    np.divide(sums, k, out=sums)
    np.log(sums, out=sums)
    np.add(sums, top[0], out=sums)
    total(sums, -scale, value=value)
