"""Random numbers by Philox4x32-10, a thread for each block of four. Plain form:
`cpu_numpy/philox.py`; the integers are the same bit for bit."""

from typing import Any

import numpy as np

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def random_uint32(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """out = the integer stream; see spec."""
    _draw("random_uint32", np.float32, seed, purpose, step, rows, out=out)


def random_uniform(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """out = ((x >> 9) + ½) · 2⁻²³; see spec."""
    _draw("random_uniform", out.dtype, seed, purpose, step, rows, out=out)


def random_normal(seed: int, purpose: int, step: Array, rows: Array, *, out: Array) -> None:
    """Box-Muller on pairs of uniforms in double precision; see spec."""
    _draw("random_normal", out.dtype, seed, purpose, step, rows, out=out)


def random_bernoulli(
    seed: int, purpose: int, step: Array, rows: Array, keep: float, *, out: Array
) -> None:
    """out = 1 where u < keep, else 0; see spec."""
    _draw("random_bernoulli", out.dtype, seed, purpose, step, rows, np.float64(keep), out=out)


def _draw(
    kernel: str,
    dtype: Any,
    seed: int,
    purpose: int,
    step: Array,
    rows: Array,
    *numbers: np.float64,
    out: Array,
) -> None:
    """STREAM of kernels/philox.cu, what else the kernel takes, and out."""
    N, D = out.shape
    key = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    rows = contiguous("philox.rows", rows)
    stream = (*key, np.uint32(purpose), step, rows, N, D)
    launch("philox", kernel, dtype, for_each(N * -(-D // 4)), *stream, *numbers, out)
