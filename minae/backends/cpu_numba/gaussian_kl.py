"""KL divergence of a diagonal normal from the standard normal: value and gradient in one pass."""

from minae.backends.cpu_numba.jit import serial_reduction
from minae.backends.cpu_numba.vector_math import expm1
from minae.backends.cpu_numba.vectors import contiguous_rows, row_of
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
    """½ Σ (mean² + exp(log_var) - 1 - log_var). Plain form: `cpu_numpy.gaussian_kl.gaussian_kl`.

    One exp(log_var) - 1, accurate near 0, serves the value and dlog_var.
    """
    mean = contiguous_rows("gaussian_kl.mean", mean)
    log_var = contiguous_rows("gaussian_kl.log_var", log_var)
    _gaussian_kl(mean, log_var, float(scale), value, dmean, dlog_var)


@serial_reduction
def _gaussian_kl(
    mean: Array,
    log_var: Array,
    scale: float,
    value: Array,
    dmean: Array | None,
    dlog_var: Array | None,
) -> None:
    N, Z = mean.shape
    factor = mean.dtype.type(scale)
    half_factor = factor * mean.dtype.type(0.5)
    total = 0.0
    for n in range(N):
        m, s = row_of(mean, n), row_of(log_var, n)
        if dmean is not None and dlog_var is not None:
            dm, ds = row_of(dmean, n), row_of(dlog_var, n)
        of_sample = mean.dtype.type(0)
        for z in range(Z):
            variance_less_1 = expm1(s[z])
            of_sample += m[z] * m[z] + (variance_less_1 - s[z])
            if dlog_var is not None:
                ds[z] = half_factor * variance_less_1
        total += of_sample
        if dmean is not None:  # on its own: one loop that writes both halves is not vectorized
            for z in range(Z):
                dm[z] = factor * m[z]
    value[0] = 0.5 * scale * total
