"""Products with a batch that is mostly zeros. Derivation: `reference/sparse.py`.

NumPy has no product that leaves zeros out: the batch is made dense again, and never preferred.
"""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous, scratch
from minae.backends.cpu_numpy.dense import matmul
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
    x = _dense(starts, columns, values, rows, scale, shift, (len(rows), w.shape[1]), out.dtype)
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
    x = _dense(starts, columns, values, rows, scale, shift, (len(rows), out.shape[1]), out.dtype)
    matmul(contiguous("sparse.dy", dy), x, out=out, transpose_a=True)


def _dense(
    starts: Array,
    columns: Array,
    values: Array,
    rows: Array,
    scale: float,
    shift: float,
    shape: tuple[int, int],
    dtype: np.dtype[np.floating],
) -> Array:
    """x (N, D) = scale · u[rows] + shift."""
    x = scratch("sparse.x", shape, dtype)
    x.fill(shift)
    places = scratch("sparse.places", (shape[1],), np.int64)
    numbers = scratch("sparse.numbers", (shape[1],), dtype)
    for n, m in enumerate(rows):
        of_sample = slice(starts[m], starts[m + 1])
        place, number = places[: len(columns[of_sample])], numbers[: len(columns[of_sample])]
        np.copyto(place, columns[of_sample])
        np.copyto(number, values[of_sample])
        np.multiply(number, scale, out=number)
        np.add(number, shift, out=number)
        np.put(x[n], place, number, mode="clip")
    return x
