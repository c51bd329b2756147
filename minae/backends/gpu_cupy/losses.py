"""Losses: the value and the gradient in one pass. Plain form: `cpu_numpy/losses.py`.

The value is summed in a fixed order and stays on the device.
"""

from minae.backends.gpu_cupy.arrays import contiguous, some_blocks, total
from minae.backends.gpu_cupy.device import launch
from minae.backends.spec import Array


def bce_with_logits(
    logits: Array, t: Array, scale: float, *, value: Array, dlogits: Array | None
) -> None:
    """Σ softplus(a) - a t; dlogits = scale (σ(a) - t); see spec."""
    _loss("bce_with_logits", logits, t, scale, value, dlogits)


def bce(p: Array, t: Array, scale: float, *, value: Array, dp: Array | None) -> None:
    """Σ -(t log p + (1 - t) log(1 - p)) and scale (p - t) / (p (1 - p)); see spec."""
    _loss("bce", p, t, scale, value, dp)


def mse(y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
    """Σ (y - t)² and 2 scale (y - t); see spec."""
    _loss("mse", y, t, scale, value, dy)


def l1(y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
    """Σ |y - t| and scale · sign(y - t); see spec."""
    _loss("l1", y, t, scale, value, dy)


def _loss(kernel: str, y: Array, t: Array, scale: float, value: Array, dy: Array | None) -> None:
    """value = scale · Σ of the kernel's terms; dy its gradient."""
    y, t = contiguous("losses.y", y), contiguous("losses.t", t)
    blocks = some_blocks(y.size)
    given = (y, t, float(scale), y.size, dy, *total(blocks, scale, value))
    launch("losses", kernel, y.dtype, blocks, *given)
