"""Softmax and cross-entropy in one, rows shifted by their maximum. Derivation:
`reference/softmax_cross_entropy.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import arange, contiguous, scratch
from minae.backends.cpu_numpy.losses import total
from minae.backends.spec import Array


def softmax_cross_entropy(
    logits: Array, labels: Array, scale: float, *, value: Array, dlogits: Array | None
) -> None:
    """Σ_n logsumexp(logits[n]) - logits[n, labels[n]] and scale (softmax - one-hot); see spec."""
    N, classes = logits.shape
    logits = contiguous("softmax_cross_entropy.logits", logits)
    shifted = scratch("softmax_cross_entropy.shifted", (N, classes), logits.dtype)
    across = scratch("softmax_cross_entropy.across", (N, classes), logits.dtype)
    row = scratch("softmax_cross_entropy.row", (N, 1), logits.dtype)
    picked = scratch("softmax_cross_entropy.picked", (N,), logits.dtype)
    places = scratch("softmax_cross_entropy.places", (N,), np.int64)

    np.maximum.reduce(logits, axis=1, keepdims=True, out=row)
    np.copyto(across, row)
    np.subtract(logits, across, out=shifted)
    np.multiply(arange(N), classes, out=places)
    np.add(places, labels, out=places)  # of (n, labels[n]) in the flat array
    np.take(shifted.reshape(-1), places, out=picked, mode="clip")
    np.exp(shifted, out=shifted)
    np.add.reduce(shifted, axis=1, keepdims=True, out=row)
    np.copyto(across, row)
    np.log(row, out=row)
    np.subtract(row.reshape(N), picked, out=picked)
    total(picked, scale, value=value)
    if dlogits is None:
        return
    np.divide(shifted, across, out=shifted)
    np.take(shifted.reshape(-1), places, out=picked, mode="clip")
    np.subtract(picked, 1, out=picked)
    np.put(shifted, places, picked, mode="clip")
    np.multiply(shifted, scale, out=dlogits)
