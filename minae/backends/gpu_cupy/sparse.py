"""Products with a batch that is mostly zeros. Plain form: `cpu_numpy/sparse.py`.

The batch is made dense again and multiplied as any other, and never preferred: whether a kernel
that multiplies the nonzeros alone would be faster on a GPU has not been measured.
"""

from typing import Any

import numpy as np

from minae.backends.gpu_cupy.arrays import contiguous, scratch
from minae.backends.gpu_cupy.dense import matmul
from minae.backends.gpu_cupy.device import launch
from minae.backends.spec import Array


def sparse_pays(operation: str, features: int, density: float) -> bool:
    """Never; see spec."""
    return False


def sparse_matmul(
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    w: Array,
    scale: float,
    shift: float,
    *,
    out: Array,
) -> None:
    """out = x wᵀ; see spec."""
    x = _dense(starts, columns, values, rows, scale, shift, w.shape[1], out.dtype)
    matmul(x, w, out=out, transpose_b=True)


def sparse_weight_gradient(
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    dy: Array,
    scale: float,
    shift: float,
    *,
    out: Array,
) -> None:
    """out = dyᵀ x; see spec."""
    x = _dense(starts, columns, values, rows, scale, shift, out.shape[1], out.dtype)
    matmul(dy, x, out=out, transpose_a=True)


def _dense(
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    scale: float,
    shift: float,
    D: int,
    dtype: np.dtype[Any],
) -> Array:
    """x (N, D) = scale · u[rows] + shift, in scratch."""
    N = rows.shape[0]
    x = scratch("sparse.x", (N, D), dtype)
    launch(
        "sparse",
        f"dense_rows_{values.dtype.name}",
        dtype,
        N,
        contiguous("sparse.starts", starts),
        contiguous("sparse.columns", columns),
        contiguous("sparse.values", values),
        contiguous("sparse.rows", rows),
        float(scale),
        float(shift),
        D,
        x,
    )
    return x
