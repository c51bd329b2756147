"""Numbers and groups of one-hot words in one loss, one pass over each sample.

Plain form: `cpu_numpy/mixed_loss.py`, which copies every group out and passes over it a dozen
times. Here a group is read three times while it is in the cache: for its maximum, for its sum of
exponentials (kept in dy), and for the gradient.
"""

from functools import cache

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.jit import threaded, threaded_reduction
from minae.backends.cpu_numba.losses import ArrayOrNone, add_totals
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vector_math import exp, log
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
    """Σ ½ (y - t)² + T logsumexp(y) - Σ t y, and scale (y - t) and scale (T softmax(y) - t).

    Plain form: `cpu_numpy.mixed_loss.mixed_loss`.
    """
    y, t = contiguous("mixed_loss.y", y), contiguous("mixed_loss.t", t)
    count = parts(len(y), y.size)
    totals = scratch("mixed_loss.totals", (count,), np.float64)
    _mixed_loss(count, y, t, _ends(numeric, groups), y.dtype.type(scale), totals, dy)
    add_totals(totals, float(scale), value)


def mixed_output(y: Array, numeric: int, groups: tuple[int, ...], *, out: Array) -> None:
    """Numbers as they are, each group through the softmax.

    Plain form: `cpu_numpy.mixed_loss.mixed_output`.
    """
    y = contiguous("mixed_loss.y", y)
    _mixed_output(parts(len(y), y.size), y, _ends(numeric, groups), out)


@cache
def _ends(numeric: int, groups: tuple[int, ...]) -> Array:
    """Where the numbers end and where each group does: int64 (1 + groups,), made once."""
    return np.cumsum([numeric, *groups], dtype=np.int64)


@threaded_reduction
def _mixed_loss(
    part: int,
    parts: int,
    y: Array,
    t: Array,
    ends: Array,
    scale: float,
    totals: Array,
    dy: ArrayOrNone,
) -> None:
    zero, half = y.dtype.type(0), y.dtype.type(0.5)
    total = 0.0
    first, end = share(part, parts, len(y))
    for n in range(first, end):
        of_sample = zero
        for d in range(ends[0]):
            for i in range(y.shape[2]):
                e = y[n, d, i] - t[n, d, i]
                of_sample += half * e * e
                if dy is not None:
                    dy[n, d, i] = scale * e
        total += of_sample
        for g in range(1, len(ends)):
            for i in range(y.shape[2]):
                top = y[n, ends[g - 1], i]
                for d in range(ends[g - 1], ends[g]):
                    top = max(top, y[n, d, i])
                normalizer, weight, below = zero, zero, zero
                for d in range(ends[g - 1], ends[g]):
                    p = exp(y[n, d, i] - top)
                    normalizer += p
                    weight += t[n, d, i]
                    below += t[n, d, i] * (top - y[n, d, i])
                    if dy is not None:
                        dy[n, d, i] = p
                total += weight * log(normalizer) + below
                if dy is not None:
                    factor = scale * weight / normalizer
                    for d in range(ends[g - 1], ends[g]):
                        dy[n, d, i] = factor * dy[n, d, i] - scale * t[n, d, i]
    totals[part] = total


@threaded
def _mixed_output(part: int, parts: int, y: Array, ends: Array, out: Array) -> None:
    first, end = share(part, parts, len(y))
    for n in range(first, end):
        for d in range(ends[0]):
            for i in range(y.shape[2]):
                out[n, d, i] = y[n, d, i]
        for g in range(1, len(ends)):
            for i in range(y.shape[2]):
                top = y[n, ends[g - 1], i]
                for d in range(ends[g - 1], ends[g]):
                    top = max(top, y[n, d, i])
                normalizer = y.dtype.type(0)
                for d in range(ends[g - 1], ends[g]):
                    p = exp(y[n, d, i] - top)
                    normalizer += p
                    out[n, d, i] = p
                for d in range(ends[g - 1], ends[g]):
                    out[n, d, i] /= normalizer
