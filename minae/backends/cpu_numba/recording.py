"""A training step as a list of operations: run again without its layers, and in part made one.

Layers and models do no arithmetic of their own, they call operations in order. The order and the
arrays are the same at every step, so it is enough to go through the layers once and to note what
they ask for. The list shows what follows what: `fusion.py` replaces calls that one kernel can do.
The kernels of what results are compiled (`ahead.py`) and run without Python (`program.py`).
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

from minae.backends.cpu_numba.ahead import compile_kernels
from minae.backends.cpu_numba.fusion import Call, fused
from minae.backends.cpu_numba.program import Program
from minae.backends.spec import OPERATIONS

# What makes an array or answers a question is done at once, everything else is noted.
_AT_ONCE = ("empty", "zeros", "asarray", "to_numpy", "device_name", "sparse_pays")
_NOTED = [name for name in OPERATIONS if name not in _AT_ONCE]
_noting = threading.Lock()  # one recording at a time: it changes what the backend's names mean


def record(run: Callable[[], None]) -> Callable[[], None]:
    """Do run() once, and return what does it again; see spec."""
    with _noting, _noted() as calls:
        run()
    calls = fused(calls)
    compile_kernels(calls)
    program = Program(calls)
    program()
    return program


@contextmanager
def _noted() -> Iterator[list[Call]]:
    """The list of the operations that this thread calls, which are noted and not done."""
    calls: list[Call] = []
    backend = sys.modules[__package__]
    operations = {name: getattr(backend, name) for name in _NOTED}
    here = threading.get_ident()

    def noting(function: Callable[..., None]) -> Callable[..., None]:
        parameters = signature(function)

        def note(*arguments: Any, **named: Any) -> None:
            if threading.get_ident() != here:
                return function(*arguments, **named)
            bound = parameters.bind(*arguments, **named)
            bound.apply_defaults()
            calls.append((function, bound.arguments))
            return None

        return note

    try:
        for name, function in operations.items():
            setattr(backend, name, noting(function))
        yield calls
    finally:
        for name, function in operations.items():
            setattr(backend, name, function)
