"""Numbers and groups of one-hot words in one loss, group by group. Derivation:
`reference/mixed_loss.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import in_double, scratch
from minae.backends.spec import Array


def mixed_loss(
    y: Array,
    t: Array,
    numeric: int,
    groups: tuple[int, ...],
    scale: float,
    *,
    value: Array,
    dy: Array | None,
) -> None:
    """Σ ½ (y - t)² + T logsumexp(y) - Σ t y, and scale (y - t) and scale (T softmax(y) - t)."""
    total = 0.0
    if numeric:
        difference = _slice("mixed_loss.y", y, 0, numeric)
        target = _slice("mixed_loss.t", t, 0, numeric)
        terms = scratch("mixed_loss.terms", target.shape, target.dtype)
        np.subtract(difference, target, out=difference)
        np.multiply(difference, difference, out=terms)
        total += 0.5 * _sum(terms)
        if dy is not None:
            np.multiply(difference, scale, out=difference)
            np.copyto(dy[:, :numeric], difference)
    start = numeric
    for size in groups:
        shifted = _slice("mixed_loss.y", y, start, size)
        target = _slice("mixed_loss.t", t, start, size)
        terms = scratch("mixed_loss.terms", target.shape, target.dtype)
        row = scratch("mixed_loss.row", (len(y), 1, y.shape[2]), y.dtype)
        weight = scratch("mixed_loss.weight", row.shape, y.dtype)
        _shift(shifted, row, terms)
        np.multiply(target, shifted, out=terms)
        total -= _sum(terms)
        np.exp(shifted, out=shifted)
        np.add.reduce(shifted, axis=1, keepdims=True, out=row)
        np.add.reduce(target, axis=1, keepdims=True, out=weight)
        if dy is not None:
            np.copyto(terms, row)
            np.divide(shifted, terms, out=shifted)
            np.copyto(terms, weight)
            np.multiply(shifted, terms, out=shifted)
            np.subtract(shifted, target, out=shifted)
            np.multiply(shifted, scale, out=shifted)
            np.copyto(dy[:, start : start + size], shifted)
        np.log(row, out=row)
        np.multiply(row, weight, out=row)
        total += _sum(row)
        start += size
    value[0] = scale * total


def mixed_output(y: Array, numeric: int, groups: tuple[int, ...], *, out: Array) -> None:
    """Numbers as they are, each group through the softmax; see spec."""
    np.copyto(out[:, :numeric], y[:, :numeric])
    start = numeric
    for size in groups:
        p = _slice("mixed_loss.y", y, start, size)
        across = scratch("mixed_loss.terms", p.shape, p.dtype)
        row = scratch("mixed_loss.row", (len(y), 1, y.shape[2]), y.dtype)
        _shift(p, row, across)
        np.exp(p, out=p)
        np.add.reduce(p, axis=1, keepdims=True, out=row)
        np.copyto(across, row)
        np.divide(p, across, out=p)
        np.copyto(out[:, start : start + size], p)
        start += size


def _slice(slot: str, x: Array, start: int, size: int) -> Array:
    """A copy of channels start ... start + size of x, (N, size, L)."""
    y = scratch(slot, (len(x), size, x.shape[2]), x.dtype)
    np.copyto(y, x[:, start : start + size])
    return y


def _shift(logits: Array, row: Array, across: Array) -> None:
    """logits less the largest of their group, in place. row: (N, 1, L); across: as logits."""
    np.maximum.reduce(logits, axis=1, keepdims=True, out=row)
    np.copyto(across, row)
    np.subtract(logits, across, out=logits)


def _sum(terms: Array) -> float:
    """Summed pairwise in float64."""
    return float(np.add.reduce(in_double("mixed_loss.double", terms), axis=None))
