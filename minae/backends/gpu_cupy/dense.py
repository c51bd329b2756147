"""Matrix products: by an own kernel of true float32, or by cuBLAS where the rule below says so.

A CUDA graph can hold both. Plain form: `cpu_numpy/dense.py`. The own kernel makes a tile of the
result in one block (`kernels/product.cuh`); where tiles are few and sums long, as in the weights'
gradients of a small layer, the terms are split over blocks and the parts added in order.
"""

from math import inf

from minae.backends.gpu_cupy import blas
from minae.backends.gpu_cupy.arrays import contiguous, scratch, split, sum_splits
from minae.backends.gpu_cupy.device import launch
from minae.backends.spec import Array

SPLITS = 32

# Multiplications M·Q·R from which on cuBLAS makes a product, by which of a and b are transposed
# (n: as it is, t: transposed). To be filled in from `python -m bench.gpu --products`, which prints
# this line; nothing has been measured yet, and own kernels are those that can be checked without a
# GPU.
CUBLAS_FROM = {"nn": inf, "nt": inf, "tn": inf, "tt": inf}


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
    kind = f"{'nt'[transpose_a]}{'nt'[transpose_b]}"
    if (blas.tf32 and out.dtype == "float32") or CUBLAS_FROM[kind] <= M * Q * R:
        blas.matmul(a, b, out=out, transpose_a=transpose_a, transpose_b=transpose_b)
    else:
        tiled_matmul(a, b, out=out, transpose_a=transpose_a, transpose_b=transpose_b)


def tiled_matmul(
    a: Array, b: Array, *, out: Array, transpose_a: bool = False, transpose_b: bool = False
) -> None:
    """out = op(a) @ op(b) by the own kernel."""
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
