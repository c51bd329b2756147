"""Arrays live in host memory, as in the NumPy backend: its functions serve as they are."""

from minae.backends.cpu_numba.threads import set_threads
from minae.backends.cpu_numpy.arrays import (
    add,
    asarray,
    copy,
    device_name,
    empty,
    set_tf32,
    to_numpy,
    zeros,
)

__all__ = [
    "add",
    "asarray",
    "copy",
    "device_name",
    "empty",
    "set_tf32",
    "set_threads",
    "to_numpy",
    "zeros",
]
