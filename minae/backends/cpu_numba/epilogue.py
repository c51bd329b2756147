"""Bias and activation of samples that a convolution has just made, while they lie in the cache.

A layer asks for them in an operation of its own, a pass over all that the convolution has written;
`fusion.py` finds the two in a recorded step and makes them one. Forward that saves a reading and a
writing of y; backward, where f' and the bias gradient follow the convolution which makes dy, it
saves dy, which then is nowhere written. Plain form: the convolution, and
`activations.bias_activation_forward` or `_backward` after it.

The kernels are those of the plain form. That of the activation is bound (`jit.py`), in blocks of
samples in place of parts, and the convolution's lets it do each block that is complete.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from minae.backends.cpu_numba.activations import add_bias_gradient, bound_backward, bound_forward
from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numba.threads import most_parts, share
from minae.backends.spec import Array

_TOGETHER = 32  # samples in a block: of large images so many lie in the second cache

Then: TypeAlias = tuple[int, int, int]  # blocks, and the addresses of a bound kernel


def nothing(samples: int) -> Then:
    """What follows a convolution that stands alone."""
    return _blocks_of(samples), 0, 0


def _blocks_of(samples: int) -> int:
    """In how many blocks a convolution finishes samples: one for each thread at least."""
    return max(min(samples, most_parts()), -(-samples // _TOGETHER))


@elementwise
def share_of_blocks(part: int, parts: int, blocks: int, N: int) -> tuple[int, int]:
    """First and last (excluded) of the samples of a part, whole blocks of them."""
    first, end = share(part, parts, blocks)
    return share(first, blocks, N)[0], share(end - 1, blocks, N)[1]


def activated(
    convolve: Callable[..., None],
    arguments: dict[str, Any],
    b: Array | None,
    activation: str,
    slope: float,
    *,
    out: Array,
) -> None:
    """out = f(convolve(**arguments) + b)."""
    blocks = _blocks_of(len(out))
    then = bound_forward(blocks, out, b, activation, slope)
    convolve(**arguments, then=(blocks, then.code, then.place), out=out)


def differentiated(
    convolve: Callable[..., None],
    arguments: dict[str, Any],
    y: Array,
    activation: str,
    slope: float,
    *,
    dx: Array,
    db: Array | None,
) -> None:
    """dx = convolve(**arguments) ⊙ f'(x), db = Σ dx, where y = f(x).

    db is summed in blocks of samples, the blocks in float64.
    """
    blocks = _blocks_of(len(dx))
    then = bound_backward(blocks, dx, y, activation, slope, db)
    convolve(**arguments, then=(blocks, then.code, then.place), out=dx)
    add_bias_gradient(then.arguments)
