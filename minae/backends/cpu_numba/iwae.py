"""The importance-weighted bound: one pass over the k·N·D logits each way."""

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.jit import serial_reduction, threaded_reduction
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vector_math import exp, log, sigmoid, softplus
from minae.backends.spec import Array


def importance_weights_forward(
    logits: Array, t: Array, z: Array, eps: Array, log_var: Array, *, out: Array
) -> None:
    """out = log p(t|z) + log p(z) - log q(z|t).

    Plain form: `cpu_numpy.iwae.importance_weights_forward`, a dozen passes.
    """
    k, N, D = logits.shape
    _log_weights(
        parts(k * N, logits.size),
        contiguous("iwae.logits", logits).reshape(k * N, D),
        contiguous("iwae.t", t),
        contiguous("iwae.z", z).reshape(k * N, -1),  # (k·N, Z)
        contiguous("iwae.eps", eps).reshape(k * N, -1),
        contiguous("iwae.log_var", log_var),
        out.reshape(k * N),
    )


def importance_weights_backward(
    weights: Array, logits: Array, t: Array, z: Array, *, dlogits: Array, dz: Array
) -> None:
    """dlogits = weights (σ(logits) - t), dz = weights z.

    Plain form: `cpu_numpy.iwae.importance_weights_backward`.
    """
    k, N, D = dlogits.shape
    rows = (k * N, D)
    logits_or_none = None
    if logits is not dlogits:
        logits_or_none = contiguous("iwae.logits", logits).reshape(rows)
    _backward(
        parts(k * N, dlogits.size),
        contiguous("iwae.weights", weights).reshape(k * N),
        logits_or_none,
        contiguous("iwae.t", t),
        contiguous("iwae.z", z).reshape(k * N, -1),  # (k·N, Z)
        dlogits.reshape(rows),
        dz.reshape(k * N, -1),
    )


def importance_bound(log_w: Array, scale: float, *, value: Array, weights: Array | None) -> None:
    """-scale Σ_n log (1/k Σ_i exp(log_w[i, n])). Plain form: `cpu_numpy.iwae.importance_bound`."""
    log_w = contiguous("iwae.log_w", log_w)
    _bound(log_w, float(scale), weights, value)


@threaded_reduction
def _log_weights(
    part: int, parts: int, logits: Array, t: Array, z: Array, eps: Array, log_var: Array, out: Array
) -> None:
    N = len(t)
    half = t.dtype.type(0.5)
    first, end = share(part, parts, len(out))
    for m in range(first, end):  # draw m // N of sample m % N
        n = m % N
        of_pixels = t.dtype.type(0)
        for d in range(t.shape[1]):
            of_pixels += softplus(logits[m, d]) - logits[m, d] * t[n, d]
        of_codes = t.dtype.type(0)
        for j in range(z.shape[1]):
            of_codes += z[m, j] * z[m, j] - eps[m, j] * eps[m, j] - log_var[n, j]
        out[m] = -of_pixels - half * of_codes


@threaded_reduction
def _backward(
    part: int,
    parts: int,
    weights: Array,
    logits: Array | None,
    t: Array,
    z: Array,
    dlogits: Array,
    dz: Array,
) -> None:
    source = dlogits if logits is None else logits
    N = len(t)
    first, end = share(part, parts, len(weights))
    for m in range(first, end):
        n = m % N
        for d in range(t.shape[1]):
            dlogits[m, d] = weights[m] * (sigmoid(source[m, d]) - t[n, d])
        for j in range(z.shape[1]):
            dz[m, j] = weights[m] * z[m, j]


@serial_reduction
def _bound(log_w: Array, scale: float, weights: Array | None, value: Array) -> None:
    k, N = log_w.shape
    factor = log_w.dtype.type(scale)
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
                weights[i, n] = factor * (exp(log_w[i, n] - top) / normalizer)
        total += top + log(normalizer / log_w.dtype.type(k))
    value[0] = -scale * total
