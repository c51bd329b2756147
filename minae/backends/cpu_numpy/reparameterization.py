"""z = mean + σ ⊙ eps with a given eps. Derivation: `reference/reparameterization.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import add_into, contiguous, scratch
from minae.backends.spec import Array


def _noise(log_var: Array, eps: Array) -> Array:
    """exp(½ log_var) ⊙ eps, (N, Z), in scratch."""
    noise = scratch("reparameterization.noise", eps.shape, eps.dtype)
    np.copyto(noise, log_var)
    np.multiply(noise, 0.5, out=noise)
    np.exp(noise, out=noise)
    np.multiply(noise, contiguous("reparameterization.eps", eps), out=noise)
    return noise


def reparameterize_forward(mean: Array, log_var: Array, eps: Array, *, out: Array) -> None:
    """out = mean + exp(½ log_var) ⊙ eps; see spec."""
    np.copyto(out, mean)
    np.add(out, _noise(log_var, eps), out=out)


def reparameterize_backward(
    dz: Array,
    log_var: Array,
    eps: Array,
    *,
    dmean: Array,
    dlog_var: Array,
    accumulate: bool = False,
) -> None:
    """dmean = dz;  dlog_var = ½ dz ⊙ eps ⊙ exp(½ log_var); see spec."""
    gradient = _noise(log_var, eps)
    np.multiply(gradient, contiguous("reparameterization.dz", dz), out=gradient)
    np.multiply(gradient, 0.5, out=gradient)
    if accumulate:
        add_into(dmean, dz)
        add_into(dlog_var, gradient)
    else:
        np.copyto(dmean, dz)
        np.copyto(dlog_var, gradient)
