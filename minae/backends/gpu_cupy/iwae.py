"""The importance-weighted bound. Plain form: `cpu_numpy/iwae.py`."""

from minae.backends.gpu_cupy.arrays import contiguous, total
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array

FILE = "iwae"


def importance_weights_forward(
    logits: Array, t: Array, z: Array, eps: Array, log_var: Array, *, out: Array
) -> None:
    """out = log p(t|z) + log p(z) - log q(z|t); see spec."""
    k, N, D = logits.shape
    logits, t = contiguous("iwae.logits", logits), contiguous("iwae.t", t)
    z, eps = contiguous("iwae.z", z), contiguous("iwae.eps", eps)
    given = (logits, t, z, eps, contiguous("iwae.log_var", log_var), D, z.shape[2])
    launch(FILE, "importance_weights_forward", out.dtype, (N, k), *given, out)


def importance_weights_backward(
    weights: Array, logits: Array, t: Array, z: Array, *, dlogits: Array, dz: Array
) -> None:
    """dlogits = weights (σ(logits) - t), dz = weights z; see spec."""
    _, N, D = logits.shape
    weights, t = contiguous("iwae.weights", weights), contiguous("iwae.t", t)
    logits, z = contiguous("iwae.logits", logits), contiguous("iwae.z", z)
    given = (weights, logits, t, logits.size, N * D, D, dlogits)
    launch(FILE, "weighted_logits", dlogits.dtype, for_each(logits.size), *given)
    blocks = for_each(z.size)
    launch(FILE, "weighted_codes", dz.dtype, blocks, weights, z, z.size, z.shape[2], dz)


def importance_bound(log_w: Array, scale: float, *, value: Array, weights: Array | None) -> None:
    """-scale Σ_n log (1/k Σ_i exp(log_w[i, n])) and its weights; see spec."""
    k, N = log_w.shape
    log_w = contiguous("iwae.log_w", log_w)
    given = (log_w, float(scale), k, N, weights, *total(N, -scale, value))
    launch(FILE, "importance_bound", log_w.dtype, N, *given)
