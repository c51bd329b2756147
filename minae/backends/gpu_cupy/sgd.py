"""Stochastic gradient descent with momentum, one pass. Plain form: `cpu_numpy/sgd.py`."""

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def sgd(
    w: Array,
    dw: Array,
    velocity: Array,
    lr: Array,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """velocity = momentum velocity + g, and the step along it; see spec."""
    launch(
        "sgd",
        "sgd",
        w.dtype,
        for_each(w.size),
        w,
        contiguous("sgd.dw", dw),
        velocity,
        lr,
        float(momentum),
        float(weight_decay),
        nesterov,
        w.size,
    )
