"""The importance-weighted bound: one pass over the k·N·D logits each way."""

from minae.backends.cpu_numba.jit import reduction
from minae.backends.cpu_numba.vector_math import exp, log, sigmoid, softplus
from minae.backends.cpu_numpy.arrays import contiguous
from minae.backends.spec import Array


def importance_weights_forward(
    logits: Array, t: Array, z: Array, eps: Array, log_var: Array, *, out: Array
) -> None:
    """out = log p(t|z) + log p(z) - log q(z|t).

    Plain form: `cpu_numpy.iwae.importance_weights_forward`, a dozen passes.
    """
    _log_weights(
        contiguous("iwae.logits", logits),
        contiguous("iwae.t", t),
        contiguous("iwae.z", z),
        contiguous("iwae.eps", eps),
        contiguous("iwae.log_var", log_var),
        out,
    )


def importance_weights_backward(
    weights: Array, logits: Array, t: Array, z: Array, *, dlogits: Array, dz: Array
) -> None:
    """dlogits = weights (σ(logits) - t), dz = weights z.

    Plain form: `cpu_numpy.iwae.importance_weights_backward`.
    """
    logits_or_none = None if logits is dlogits else contiguous("iwae.logits", logits)
    weights, z = contiguous("iwae.weights", weights), contiguous("iwae.z", z)
    _backward(weights, logits_or_none, contiguous("iwae.t", t), z, dlogits, dz)


def importance_bound(log_w: Array, scale: float, *, value: Array, weights: Array | None) -> None:
    """-scale Σ_n log (1/k Σ_i exp(log_w[i, n])). Plain form: `cpu_numpy.iwae.importance_bound`."""
    log_w = contiguous("iwae.log_w", log_w)
    value[0] = -scale * _bound(log_w, log_w.dtype.type(scale), weights)


@reduction
def _log_weights(logits: Array, t: Array, z: Array, eps: Array, log_var: Array, out: Array) -> None:
    k, N, D = logits.shape
    half = t.dtype.type(0.5)
    for i in range(k):
        for n in range(N):
            of_pixels = t.dtype.type(0)
            for d in range(D):
                of_pixels += softplus(logits[i, n, d]) - logits[i, n, d] * t[n, d]
            of_codes = t.dtype.type(0)
            for j in range(z.shape[2]):
                of_codes += z[i, n, j] * z[i, n, j] - eps[i, n, j] * eps[i, n, j] - log_var[n, j]
            out[i, n] = -of_pixels - half * of_codes


@reduction
def _backward(
    weights: Array, logits: Array | None, t: Array, z: Array, dlogits: Array, dz: Array
) -> None:
    source = dlogits if logits is None else logits
    k, N, D = dlogits.shape
    for i in range(k):
        for n in range(N):
            weight = weights[i, n]
            for d in range(D):
                dlogits[i, n, d] = weight * (sigmoid(source[i, n, d]) - t[n, d])
            for j in range(z.shape[2]):
                dz[i, n, j] = weight * z[i, n, j]


@reduction
def _bound(log_w: Array, scale: float, weights: Array | None) -> float:
    k, N = log_w.shape
    total = 0.0
    for n in range(N):
        top = log_w[0, n]
        for i in range(k):
            top = max(top, log_w[i, n])
        normalizer = log_w.dtype.type(0)
        for i in range(k):
            normalizer += exp(log_w[i, n] - top)
        if weights is not None:
            for i in range(k):
                weights[i, n] = scale * (exp(log_w[i, n] - top) / normalizer)
        total += top + log(normalizer / log_w.dtype.type(k))
    return total
