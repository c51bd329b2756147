"""Arrays live in host memory, as in the NumPy backend, whose functions serve; sums are a kernel."""

from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from minae.backends.cpu_numba.jit import not_in_kernels, serial
from minae.backends.cpu_numba.threads import set_threads
from minae.backends.cpu_numpy import arrays
from minae.backends.cpu_numpy.arrays import (
    asarray,
    device_name,
    scratch,
    set_tf32,
    to_numpy,
    zeros,
)
from minae.backends.spec import Array

__all__ = [
    "add",
    "asarray",
    "contiguous",
    "copy",
    "device_name",
    "empty",
    "scratch",
    "set_tf32",
    "set_threads",
    "to_numpy",
    "zeros",
]


_made_by_empty: WeakValueDictionary[int, Array] = WeakValueDictionary()  # pieces of memory


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Uninitialised array; see spec. A recorded step may have it elsewhere (`lifetimes.py`)."""
    x = arrays.empty(shape, dtype)
    memory = memory_of(x)
    _made_by_empty[id(memory)] = memory
    return x


def made_by_empty(x: Array) -> bool:
    """Whether x lies in memory that `empty` has made."""
    memory = memory_of(x)
    return _made_by_empty.get(id(memory)) is memory


def memory_of(x: Array) -> Array:
    """The array that owns the memory of x."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def add(a: Array, b: Array, *, out: Array) -> None:
    """out = a + b; see spec. A kernel, since a step adds up its losses."""
    if out is b:
        a, b = b, a
    a_or_none = None if out is a else contiguous("add.a", a).reshape(-1)
    _add(a_or_none, contiguous("add.b", b).reshape(-1), out.reshape(-1))


def copy(x: Array, *, out: Array) -> None:
    """out = x; see spec."""
    not_in_kernels()
    arrays.copy(x, out=out)


def contiguous(slot: str, x: Array) -> Array:
    """x itself where it is C-contiguous, else a copy of it in scratch, made by NumPy."""
    if not x.flags.c_contiguous:
        not_in_kernels()
    return arrays.contiguous(slot, x)


@serial
def _add(a: Array | None, b: Array, out: Array) -> None:
    source = out if a is None else a
    for i in range(len(out)):
        out[i] = source[i] + b[i]
