"""The reparameterization z = mean + σ ⊙ ε, σ = exp(½ log_var), one pass each way."""

from minae.backends.cpu_numba.jit import serial
from minae.backends.cpu_numba.vector_math import exp
from minae.backends.cpu_numba.vectors import contiguous_rows, row_of
from minae.backends.spec import Array


def reparameterize_forward(mean: Array, log_var: Array, eps: Array, *, out: Array) -> None:
    """out = mean + exp(½ log_var) ⊙ eps.

    Plain form: `cpu_numpy.reparameterization.reparameterize_forward`, a pass for each operation.
    """
    mean = contiguous_rows("reparameterization.mean", mean)
    log_var = contiguous_rows("reparameterization.log_var", log_var)
    eps = contiguous_rows("reparameterization.eps", eps)
    _reparameterize_forward(mean, log_var, eps, out)


def reparameterize_backward(
    dz: Array,
    log_var: Array,
    eps: Array,
    *,
    dmean: Array,
    dlog_var: Array,
    accumulate: bool = False,
) -> None:
    """dmean = dz;  dlog_var = ½ dz ⊙ eps ⊙ exp(½ log_var); added to what is there if asked.

    Plain form: `cpu_numpy.reparameterization.reparameterize_backward`.
    """
    dz = contiguous_rows("reparameterization.dz", dz)
    log_var = contiguous_rows("reparameterization.log_var", log_var)
    eps = contiguous_rows("reparameterization.eps", eps)
    _reparameterize_backward(dz, log_var, eps, accumulate, dmean, dlog_var)


@serial
def _reparameterize_forward(mean: Array, log_var: Array, eps: Array, out: Array) -> None:
    N, Z = out.shape
    half = out.dtype.type(0.5)
    for n in range(N):
        m, s, e, z = row_of(mean, n), row_of(log_var, n), row_of(eps, n), row_of(out, n)
        for i in range(Z):
            z[i] = m[i] + exp(half * s[i]) * e[i]


@serial
def _reparameterize_backward(
    dz: Array, log_var: Array, eps: Array, accumulate: bool, dmean: Array, dlog_var: Array
) -> None:
    N, Z = dz.shape
    half = dz.dtype.type(0.5)
    for n in range(N):
        g, s, e = row_of(dz, n), row_of(log_var, n), row_of(eps, n)
        dm, ds = row_of(dmean, n), row_of(dlog_var, n)
        for i in range(Z):
            h = half * g[i] * e[i] * exp(half * s[i])
            before = ds[i]  # read in either case: a load that hangs on a condition is no vector's
            ds[i] = before + h if accumulate else h
        for i in range(Z):  # on its own: one loop that writes both halves is not vectorized
            before = dm[i]
            dm[i] = before + g[i] if accumulate else g[i]
