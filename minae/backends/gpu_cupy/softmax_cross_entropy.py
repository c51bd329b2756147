"""Softmax and cross-entropy in one. Plain form: `cpu_numpy/softmax_cross_entropy.py`."""

from minae.backends.gpu_cupy.arrays import contiguous, total
from minae.backends.gpu_cupy.device import launch
from minae.backends.spec import Array


def softmax_cross_entropy(
    logits: Array, labels: Array, scale: float, *, value: Array, dlogits: Array | None
) -> None:
    """Σ_n logsumexp(logits[n]) - logits[n, labels[n]] and its gradient; see spec."""
    N, classes = logits.shape
    launch(
        "softmax_cross_entropy",
        "softmax_cross_entropy",
        logits.dtype,
        N,
        contiguous("softmax_cross_entropy.logits", logits),
        contiguous("softmax_cross_entropy.labels", labels),
        float(scale),
        classes,
        dlogits,
        *total(N, scale, value),
    )
