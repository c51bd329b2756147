"""Softmax and cross-entropy as one operation on logits, one pass over each row in cache."""

from minae.backends.cpu_numba.jit import reduction
from minae.backends.cpu_numba.vector_math import exp, log
from minae.backends.cpu_numpy.arrays import contiguous
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
    value[0] = scale * _softmax_cross_entropy(logits, labels, logits.dtype.type(scale), dlogits)


@reduction
def _softmax_cross_entropy(
    logits: Array, labels: Array, scale: float, dlogits: Array | None
) -> float:
    total = 0.0
    for n in range(len(labels)):
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
    return total
