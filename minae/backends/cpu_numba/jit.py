"""How the kernels of this backend are compiled.

Numba keeps a compiled kernel until its own file changes: after an edit of a file whose functions
are inlined elsewhere (`vector_math.py`, `vectors.py`, `channels.py`), delete `__pycache__`.
"""

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

from numba import config, njit

Function: TypeAlias = Callable[..., Any]


def _openmp() -> bool:
    """Whether Numba's OpenMP pool is there. Another pool that the user has chosen is left alone."""
    try:
        importlib.import_module("numba.np.ufunc.omppool")
    except ImportError:  # no libgomp or libomp on this machine
        return False
    if config.THREADING_LAYER == "default":
        config.THREADING_LAYER = "omp"
    return bool(config.THREADING_LAYER == "omp")


OPENMP = _openmp()

_SUMS_IN_ANY_ORDER = {"contract", "reassoc", "nsz"}
# only what says prange is shared out to threads
_PRANGE = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)
_THREADS = {"prange": True, **_PRANGE} if OPENMP else False

# error_model="numpy": a division by zero gives inf or NaN. With Python's error model each division
# is a branch to an exception, and a loop that branches is not vectorized.
elementwise: Callable[[Function], Function] = njit(
    cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy"
)
"""Compiles a kernel whose numbers are rounded step by step, as they are in NumPy."""

# reassoc and nsz let a sum be taken in lanes, in an order that is fixed for each length. nnan and
# ninf stay out: with them a diverged loss could come out as a finite number.
reduction: Callable[[Function], Function] = njit(
    cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy", fastmath=_SUMS_IN_ANY_ORDER
)
"""Compiles a kernel whose floating sums may be taken in any order."""

threaded: Callable[[Function], Function] = njit(
    cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy", parallel=_THREADS
)
"""`elementwise` for a kernel that shares its parts out to threads with `prange`."""

threaded_reduction: Callable[[Function], Function] = njit(
    cache=True,
    no_cfunc_wrapper=True,
    nogil=True,
    error_model="numpy",
    fastmath=_SUMS_IN_ANY_ORDER,
    parallel=_THREADS,
)
"""`reduction` for a kernel that shares its parts out to threads with `prange`."""
