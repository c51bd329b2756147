"""Activations, fused with the bias before them (forward) and the bias gradient (backward).

Plain form: `cpu_numpy/activations.py`. Backward writes dx and sums db in the same pass.
"""

from minae.backends.gpu_cupy.arrays import (
    THREADS_OF_32,
    channel_sums,
    channels,
    contiguous,
    copy,
)
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import ACTIVATIONS, Array


def bias_activation_forward(
    x: Array, b: Array | None, activation: str, slope: float, *, out: Array
) -> None:
    """out = f(x + b); see spec."""
    if b is None and activation == "identity":
        if out is not x:
            copy(x, out=out)
        return
    _, K, L = channels(x)
    launch(
        "activations",
        "bias_activation_forward",
        out.dtype,
        for_each(x.size),
        contiguous("activations.x", x),
        None if b is None else contiguous("activations.b", b),
        b is not None and b.ndim == 2,
        ACTIVATIONS.index(activation),
        float(slope),
        x.size,
        K,
        L,
        out,
    )


def bias_activation_backward(
    dy: Array,
    y: Array,
    activation: str,
    slope: float,
    *,
    dx: Array,
    db: Array | None,
) -> None:
    """dx = dy ⊙ f'(x), db = Σ dx; see spec."""
    if db is None and activation == "identity":
        if dx is not dy:
            copy(dy, out=dx)
        return
    in_place = dx is dy  # of any strides if f is the identity, which then changes nothing
    dy, y = contiguous("activations.dy", dy), contiguous("activations.y", y)
    dx = dy if in_place else dx
    number, slope = ACTIVATIONS.index(activation), float(slope)
    N, K, L = channels(y)
    if db is None or (db.ndim == 2 and L == 1):
        launch(
            "activations",
            "bias_activation_backward",
            dx.dtype,
            for_each(y.size),
            dy,
            y,
            number,
            slope,
            y.size,
            dx,
        )
        if db is not None:
            copy(dx, out=db.reshape(dx.shape))
        return
    if db.ndim == 2:
        given = (dy, y, number, slope, N * K, L, dx, db)
        kernel, blocks = "bias_activation_backward_rows", -(-N * K // 8)
        launch("activations", kernel, dx.dtype, blocks, *given, threads=THREADS_OF_32)
    else:
        kernel, sums = "bias_activation_backward_sums", (dy, y, number, slope, dx, db)
        channel_sums("activations", kernel, dx.dtype, y, *sums)


def bias_activation_double_backward(
    dv: Array,
    u: Array,
    y: Array,
    activation: str,
    slope: float,
    *,
    dy: Array,
    accumulate: bool = False,
) -> None:
    """dy = dv ⊙ u ⊙ f'_y, the derivative of f' by y; see spec."""
    launch(
        "activations",
        "bias_activation_double_backward",
        dy.dtype,
        for_each(y.size),
        contiguous("activations.dv", dv),
        contiguous("activations.u", u),
        contiguous("activations.y", y),
        ACTIVATIONS.index(activation),
        y.size,
        accumulate,
        dy,
    )
