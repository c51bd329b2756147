"""A sample as one row: C values spread over H and W, and a row summed over H and W."""

from minae.backends.cpu_numba.jit import elementwise, reduction
from minae.backends.spec import Array

BLOCK = 64  # samples that are summed into a row before it is collected


@elementwise
def spread(values: Array, row: Array) -> None:
    """row[c, h, w] = values[c]. values: (C,);  row: (C·H·W,)."""
    L = len(row) // len(values)
    for c in range(len(values)):
        for d in range(c * L, (c + 1) * L):
            row[d] = values[c]


@reduction
def collect(row: Array, totals: Array) -> None:
    """totals[c] += Σ row[c, h, w] over h, w, in float64; then row = 0.

    row: (C·H·W,);  totals: float64 (C,).
    """
    L = len(row) // len(totals)
    for c in range(len(totals)):
        total = 0.0
        for d in range(c * L, (c + 1) * L):
            total += row[d]
            row[d] = 0
        totals[c] += total
