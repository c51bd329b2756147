"""Products with a batch that is mostly zeros. Plain form: `cpu_numpy/sparse.py`.

The mask is multiplied in, and never preferred: whether a kernel that leaves strips of zeros out
would be faster on a GPU has not been measured.
"""

from minae.backends.gpu_cupy.arrays import contiguous, scratch
from minae.backends.gpu_cupy.dense import matmul
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def sparse_pays(operation: str, samples: int, features: int, density: float) -> bool:
    """Never; see spec."""
    return False


def sparse_matmul(strips: Array, rows: Array, x: Array, w: Array, *, out: Array) -> None:
    """out = (x ⊙ m) wᵀ; see spec."""
    matmul(_masked(strips, rows, x), w, out=out, transpose_b=True)


def sparse_weight_gradient(strips: Array, rows: Array, x: Array, dy: Array, *, out: Array) -> None:
    """out = dyᵀ (x ⊙ m); see spec."""
    matmul(dy, _masked(strips, rows, x), out=out, transpose_a=True)


def _masked(strips: Array, rows: Array, x: Array) -> Array:
    """x ⊙ m (N, D), in scratch."""
    masked = scratch("sparse.x", x.shape, x.dtype)
    launch(
        "sparse",
        "masked_rows",
        x.dtype,
        for_each(x.size),
        contiguous("sparse.strips", strips),
        contiguous("sparse.rows", rows),
        contiguous("sparse.given", x),
        x.size,
        x.shape[1],
        strips.shape[1],
        masked,
    )
    return masked
