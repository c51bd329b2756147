"""The contractive penalty of one dense layer. Plain form: `cpu_numpy/contractive.py`."""

from minae.backends.gpu_cupy.arrays import (
    CHANNELS,
    chunks,
    contiguous,
    partials,
    scratch,
    sum_chunks,
    sum_partials,
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
    (N, K), D, dtype = y.shape, w.shape[1], y.dtype
    y, w = contiguous("contractive.y", y), contiguous("contractive.w", w)
    number, slope, scale = ACTIVATIONS.index(activation), float(slope), float(scale)
    norms = scratch("contractive.norms", (K,), dtype)
    launch(FILE, "squared_norms", dtype, K, w, D, norms)
    blocks, partial = partials(y.size)
    given = (y, norms, number, slope, scale, y.size, K, dy, partial)
    launch(FILE, "contractive_penalty", dtype, blocks, *given)
    sum_partials(partial, scale, value=value)
    if dw is None:
        return
    samples, _, grid, partial = chunks(N, K, 1)
    chunked = (y, number, slope, N, K, samples, partial)
    launch(FILE, "squared_slopes", dtype, grid, *chunked, threads=CHANNELS)
    slopes = scratch("contractive.slopes", (K,), dtype)
    sum_chunks(partial, out=slopes)
    launch(FILE, "weight_gradient", dtype, for_each(w.size), w, slopes, scale, w.size, D, dw)
