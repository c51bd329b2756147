"""Convolution and its two gradients by own kernels: implicit GEMM, no columns in memory.

Plain form: `cpu_numpy/conv2d.py`, which copies every window into a column (im2col) for BLAS. The
gradient in x gathers, phase of the stride by phase, so that no two blocks add to one pixel.
"""

from minae.backends.gpu_cupy.arrays import contiguous, scratch, split, sum_splits
from minae.backends.gpu_cupy.device import launch
from minae.backends.spec import Array, Pair

SPLITS = 1024


def conv2d_forward(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array,
) -> None:
    """out = cross-correlation of x with w; see spec."""
    N, K, OH, OW = out.shape
    height = tile(K // groups)
    launch(
        "conv2d",
        f"conv2d_forward_{height}x64",
        out.dtype,
        (-(-N * OH * OW // 64), -(-(K // groups) // height), groups),
        contiguous("conv2d.x", x),
        contiguous("conv2d.w", w),
        *geometry(x, w, out, stride, padding, dilation, groups),
        out,
    )


def conv2d_input_gradient(
    dy: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array,
) -> None:
    """out = gradient in x; see spec. The grid's last axis is (group, phase in H, phase in W)."""
    N, C, H, W = out.shape
    height = tile(C // groups)
    pixels = -(-H // stride[0]) * -(-W // stride[1])  # of the largest phase
    launch(
        "conv2d",
        f"conv2d_input_gradient_{height}x64",
        out.dtype,
        (-(-N * pixels // 64), -(-(C // groups) // height), groups * stride[0] * stride[1]),
        contiguous("conv2d.dy", dy),
        contiguous("conv2d.w", w),
        *geometry(out, w, dy, stride, padding, dilation, groups),
        out,
    )


def conv2d_weight_gradient(
    x: Array,
    dy: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array,
) -> None:
    """out = gradient in w; see spec. Sums over all samples and pixels are long, so they are split
    and the parts added in order."""
    N, K, OH, OW = dy.shape
    taps = out.size // K  # C/G · KH · KW
    height = tile(K // groups)
    tiles = -(-taps // 64), -(-(K // groups) // height)
    splits, terms = split(N * OH * OW, tiles[0] * tiles[1] * groups, SPLITS)
    parts = out if splits == 1 else scratch("conv2d.parts", (splits, *out.shape), out.dtype)
    launch(
        "conv2d",
        f"conv2d_weight_gradient_{height}x64",
        out.dtype,
        (*tiles, splits * groups),
        contiguous("conv2d.x", x),
        contiguous("conv2d.dy", dy),
        *geometry(x, out, dy, stride, padding, dilation, groups),
        terms,
        parts,
    )
    if splits > 1:
        sum_splits(parts, out=out)


def tile(channels: int) -> int:
    """Rows of a tile: channels of one group, of which there are often few."""
    return 16 if channels <= 16 else 64


def geometry(
    x: Array, w: Array, y: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[int, ...]:
    """GEOMETRY of kernels/conv2d.cu."""
    return (*x.shape, *y.shape[1:], *w.shape[2:], *stride, *padding, *dilation, groups)
