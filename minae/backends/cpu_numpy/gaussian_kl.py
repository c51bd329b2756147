"""KL divergence of a diagonal normal from the standard one. Derivation:
`reference/gaussian_kl.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous, scratch
from minae.backends.cpu_numpy.losses import total
from minae.backends.spec import Array


def gaussian_kl(
    mean: Array,
    log_var: Array,
    scale: float,
    *,
    value: Array,
    dmean: Array | None,
    dlog_var: Array | None,
) -> None:
    """½ Σ (mean² + exp(log_var) - 1 - log_var) and its gradients; see spec."""
    mean = contiguous("gaussian_kl.mean", mean)
    log_var = contiguous("gaussian_kl.log_var", log_var)
    excess = scratch("gaussian_kl.excess", mean.shape, mean.dtype)
    terms = scratch("gaussian_kl.terms", mean.shape, mean.dtype)
    np.expm1(log_var, out=excess)
    np.multiply(mean, mean, out=terms)
    np.add(terms, excess, out=terms)
    np.subtract(terms, log_var, out=terms)
    total(terms, 0.5 * scale, value=value)
    if dmean is not None and dlog_var is not None:
        np.multiply(mean, scale, out=terms)
        np.copyto(dmean, terms)
        np.multiply(excess, 0.5 * scale, out=terms)
        np.copyto(dlog_var, terms)
