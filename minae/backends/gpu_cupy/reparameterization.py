"""z = mean + σ ⊙ eps with a given eps. Plain form: `cpu_numpy/reparameterization.py`."""

from minae.backends.gpu_cupy.arrays import contiguous, rows
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def reparameterize_forward(mean: Array, log_var: Array, eps: Array, *, out: Array) -> None:
    """out = mean + exp(½ log_var) ⊙ eps; see spec."""
    launch(
        "reparameterization",
        "reparameterize_forward",
        out.dtype,
        for_each(out.size),
        *rows("reparameterization.mean", mean),
        *rows("reparameterization.log_var", log_var),
        contiguous("reparameterization.eps", eps),
        out.size,
        out.shape[1],
        out,
    )


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
    launch(
        "reparameterization",
        "reparameterize_backward",
        dz.dtype,
        for_each(dz.size),
        contiguous("reparameterization.dz", dz),
        *rows("reparameterization.log_var", log_var),
        contiguous("reparameterization.eps", eps),
        dz.size,
        dz.shape[1],
        *rows("", dmean),
        *rows("", dlog_var),
        accumulate,
    )
