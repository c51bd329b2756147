"""A sample as one row: C values spread over H and W, and a row summed over H and W."""

from minae.backends.cpu_numba.jit import elementwise, reduction, serial
from minae.backends.spec import Array

BLOCK = 64  # samples that are summed into a row before it is collected


@elementwise
def spread(values: Array, row: Array) -> None:
    """row[c, h, w] = values[c]. values: (C,);  row: (C·H·W,)."""
    L = len(row) // len(values)
    if L == 1:  # all of a row at once, where loops of one number would not be vectorized
        for c in range(len(values)):
            row[c] = values[c]
        return
    for c in range(len(values)):
        channel = row[c * L : (c + 1) * L]  # its places are counted from 0, as vectors need it
        for d in range(len(channel)):
            channel[d] = values[c]


@reduction
def collect(row: Array, totals: Array) -> None:
    """totals[c] += Σ row[c, h, w] over h, w, in float64; then row = 0.

    row: (C·H·W,);  totals: float64 (C,).
    """
    L = len(row) // len(totals)
    if L == 1:
        for c in range(len(totals)):
            totals[c] += row[c]
            row[c] = 0
        return
    for c in range(len(totals)):
        channel = row[c * L : (c + 1) * L]
        total = 0.0
        for d in range(len(channel)):
            total += channel[d]
            channel[d] = 0
        totals[c] += total


@elementwise
def collect_gradient(row: Array, n: int, totals: Array, db: Array) -> None:
    """Adds row to totals, which are those of sample n where db has one row a sample."""
    collect(row, totals)
    if len(db) > 1:
        for k in range(len(totals)):
            db[n, k] = totals[k]
            totals[k] = 0


@serial
def add_parts(totals: Array, db: Array) -> None:
    """db (1, K) = the sum over parts of totals (parts, K and more), in their order."""
    for k in range(db.shape[1]):
        total = 0.0
        for part in range(len(totals)):
            total += totals[part, k]
        db[0, k] = total
