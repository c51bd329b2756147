"""Softmax and cross-entropy as one operation on logits, one pass over each row in cache."""

import numpy as np

from minae.backends.cpu_numba.arrays import contiguous, scratch
from minae.backends.cpu_numba.jit import threaded_reduction
from minae.backends.cpu_numba.losses import add_totals
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.vector_math import exp, log
from minae.backends.spec import Array


def softmax_cross_entropy(
    logits: Array, labels: Array, scale: float, *, value: Array, dlogits: Array | None
) -> None:
    """Σ logsumexp(logits[n]) - logits[n, labels[n]];  dlogits = scale (softmax - one-hot).

    The exponentials are kept in dlogits and become the softmax there.
    Plain form: `cpu_numpy.softmax_cross_entropy.softmax_cross_entropy`.
    """
    logits = contiguous("softmax_cross_entropy.logits", logits)
    labels = contiguous("softmax_cross_entropy.labels", labels)
    count, factor = parts(len(logits), logits.size), logits.dtype.type(scale)
    totals = scratch("softmax_cross_entropy.totals", (count,), np.float64)
    _softmax_cross_entropy(count, logits, labels, factor, totals, dlogits)
    add_totals(totals, float(scale), value)


@threaded_reduction
def _softmax_cross_entropy(
    part: int,
    parts: int,
    logits: Array,
    labels: Array,
    scale: float,
    totals: Array,
    dlogits: Array | None,
) -> None:
    total = 0.0
    first, end = share(part, parts, len(labels))
    for n in range(first, end):
        top = logits[n, 0]
        for c in range(logits.shape[1]):
            top = max(top, logits[n, c])
        of_label = logits[n, labels[n]]
        normalizer = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            e = exp(logits[n, c] - top)
            normalizer += e
            if dlogits is not None:
                dlogits[n, c] = e
        total += (top - of_label) + log(normalizer)
        if dlogits is not None:
            for c in range(logits.shape[1]):
                dlogits[n, c] *= scale / normalizer
            dlogits[n, labels[n]] -= scale
    totals[part] = total
