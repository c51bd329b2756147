"""The contractive penalty of one dense layer. Plain form: `cpu_numpy/contractive.py`."""

from minae.backends.gpu_cupy.arrays import (
    channel_sums,
    contiguous,
    scratch,
    some_blocks,
    total,
)
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import ACTIVATIONS, Array

FILE = "contractive"


def contractive_penalty(
    y: Array,
    w: Array,
    activation: str,
    slope: float,
    scale: float,
    *,
    value: Array,
    dy: Array | None,
    dw: Array | None,
) -> None:
    """scale · Σ f'(y)² ‖w[k]‖² and its gradients by y and w; see spec."""
    K, D, dtype = y.shape[1], w.shape[1], y.dtype
    y, w = contiguous("contractive.y", y), contiguous("contractive.w", w)
    number, slope, scale = ACTIVATIONS.index(activation), float(slope), float(scale)
    norms = scratch("contractive.norms", (K,), dtype)
    launch(FILE, "squared_norms", dtype, K, w, D, norms)
    blocks = some_blocks(y.size)
    given = (y, norms, number, slope, scale, y.size, K, dy, *total(blocks, scale, value))
    launch(FILE, "contractive_penalty", dtype, blocks, *given)
    if dw is None:
        return
    slopes = scratch("contractive.slopes", (K,), dtype)
    channel_sums(FILE, "squared_slopes", dtype, y, y, number, slope, slopes)
    launch(FILE, "weight_gradient", dtype, for_each(w.size), w, slopes, scale, w.size, D, dw)
