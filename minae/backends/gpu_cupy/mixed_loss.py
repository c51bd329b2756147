"""Numbers and groups of one-hot words in one loss. Plain form: `cpu_numpy/mixed_loss.py`."""

from functools import cache

import numpy as np

from minae.backends.gpu_cupy.arrays import asarray, contiguous, some_blocks, total
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def mixed_loss(
    y: Array,
    t: Array,
    numeric: int,
    groups: tuple[int, ...],
    scale: float,
    *,
    value: Array,
    dy: Array | None,
) -> None:
    """Σ ½ (y - t)² + T logsumexp(y) - Σ t y, and its gradient; see spec."""
    y, t = contiguous("mixed_loss.y", y), contiguous("mixed_loss.t", t)
    N, C, L = y.shape
    ends = _ends(numeric, groups)
    blocks = some_blocks(N * L)
    launch(
        "mixed_loss",
        "mixed_loss",
        y.dtype,
        blocks,
        y,
        t,
        ends,
        len(groups) + 1,
        float(scale),
        N * L,
        C,
        L,
        dy,
        *total(blocks, scale, value),
    )


def mixed_output(y: Array, numeric: int, groups: tuple[int, ...], *, out: Array) -> None:
    """Numbers as they are, each group through the softmax; see spec."""
    y = contiguous("mixed_loss.y", y)
    N, C, L = y.shape
    ends = _ends(numeric, groups)
    given = (y, ends, len(groups) + 1, N * L, C, L, out)
    launch("mixed_loss", "mixed_output", y.dtype, for_each(N * L), *given)


@cache
def _ends(numeric: int, groups: tuple[int, ...]) -> Array:
    """Where the numbers end and where each group does: int64 (1 + groups,), made once."""
    return asarray(np.cumsum([numeric, *groups]), np.int64)
