"""How the kernels of this backend are compiled.

Numba keeps a compiled kernel until its own file changes: after an edit of a file whose functions
are inlined elsewhere (`vector_math.py`, `vectors.py`, `channels.py`), delete `__pycache__`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from numba import njit

Function: TypeAlias = Callable[..., Any]

# error_model="numpy": a division by zero gives inf or NaN. With Python's error model each division
# is a branch to an exception, and a loop that branches is not vectorized.
elementwise: Callable[[Function], Function] = njit(cache=True, nogil=True, error_model="numpy")
"""Compiles a kernel whose numbers are rounded step by step, as they are in NumPy."""

# reassoc and nsz let a sum be taken in lanes, in an order that is fixed for each length. nnan and
# ninf stay out: with them a diverged loss could come out as a finite number.
reduction: Callable[[Function], Function] = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}
)
"""Compiles a kernel whose floating sums may be taken in any order."""
