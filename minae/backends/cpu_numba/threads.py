"""The threads of this backend: one pool, for kernels and matrix products alike.

A kernel cuts its samples into parts and gives each thread one of them, and `dense.matmul` does the
same with a product, each part of which is taken in tiles or is a call of BLAS on one thread. With
two pools, BLAS's own and this one, the threads of each keep spinning for a while after their work
is done and take the cores from the other's: a product of 0.4 ms and then a kernel of 0.07 ms took 8
ms together.

Where BLAS offers no products to call from a kernel, there is one part, and BLAS keeps its threads.
"""

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from minae.backends.cpu_numba import pool
from minae.backends.cpu_numba.blas import products
from minae.backends.cpu_numba.jit import elementwise

_LEAST = 8192  # numbers in a part: 1 to 2 µs of work, what it costs to wake a thread
_most_parts = 1


def _blas() -> ThreadpoolController:
    """What is loaded by now: SciPy, say, brings a BLAS of its own."""
    return ThreadpoolController().select(user_api="blas")


def set_threads(threads: int) -> None:
    """Bound the threads of kernels and products; see spec."""
    global _most_parts
    in_kernels = products() is not None
    _most_parts = threads if in_kernels else 1
    pool.resize(_most_parts)
    _blas().limit(limits=1 if in_kernels else threads)


def most_parts() -> int:
    """In how many parts work is taken at most."""
    return _most_parts


def parts(samples: int, numbers: int) -> int:
    """In how many parts to take so many samples that hold so many numbers together."""
    return max(1, min(_most_parts, samples, numbers // _LEAST))


@elementwise
def share(part: int, parts: int, N: int) -> tuple[int, int]:
    """First and last (excluded) of the samples of a part."""
    return part * N // parts, (part + 1) * N // parts
