"""Matrix products by an own kernel of true float32, which a CUDA graph can hold.

CuPy refuses its cuBLAS while a graph is captured. Plain form: `cpu_numpy/dense.py`. A tile of the
result is made by one block (`kernels/product.cuh`); where tiles are few and sums long, as in the
weights' gradients of a small layer, the terms are split over blocks and the parts added in order.
"""

from minae.backends.gpu_cupy.arrays import contiguous, scratch, split, sum_splits
from minae.backends.gpu_cupy.device import launch
from minae.backends.spec import Array

SPLITS = 32


def matmul(
    a: Array,
    b: Array,
    *,
    out: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
) -> None:
    """out = op(a) @ op(b); see spec."""
    M, R = out.shape
    Q = a.shape[0] if transpose_a else a.shape[1]
    height, width = tile(M, R)
    tiles = -(-R // width), -(-M // height)
    splits, terms = split(Q, tiles[0] * tiles[1], SPLITS)
    parts = out if splits == 1 else scratch("dense.parts", (splits, M, R), out.dtype)
    launch(
        "dense",
        f"matmul_{'nt'[transpose_a]}{'nt'[transpose_b]}_{height}x{width}",
        out.dtype,
        (*tiles, splits),
        contiguous("dense.a", a),
        contiguous("dense.b", b),
        M,
        Q,
        R,
        terms,
        parts,
    )
    if splits > 1:
        sum_splits(parts, out=out)


def tile(M: int, R: int) -> tuple[int, int]:
    """Rows and columns of a tile: large where there are tiles for a whole card, else narrow where
    the matrix is, so that few products fall outside it."""
    if -(-M // 128) * -(-R // 128) >= 256:
        return 128, 128
    if M <= 32:
        return 32, 64
    return (64, 32) if R <= 32 else (64, 64)
