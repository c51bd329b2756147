"""KL divergence and its gradients in one pass. Plain form: `cpu_numpy/gaussian_kl.py`."""

from minae.backends.gpu_cupy.arrays import rows, some_blocks, total
from minae.backends.gpu_cupy.device import launch
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
    n, Z = mean.size, mean.shape[1]
    blocks = some_blocks(n)
    launch(
        "gaussian_kl",
        "gaussian_kl",
        mean.dtype,
        blocks,
        *rows("gaussian_kl.mean", mean),
        *rows("gaussian_kl.log_var", log_var),
        float(scale),
        n,
        Z,
        *((None, 0) if dmean is None else rows("", dmean)),
        *((None, 0) if dlog_var is None else rows("", dlog_var)),
        *total(blocks, 0.5 * scale, value),
    )
