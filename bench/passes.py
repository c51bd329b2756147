"""Passes over memory within a backend: every NumPy function that its files call, every kernel that
they start, and the bytes of the arrays they are given.

`recording.py` sees an operation as one call; how many passes a backend needs for it is seen here.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from minae.backends.cpu_numba.arrays import memory_of

PACKAGE = "minae.backends.cpu_"


class Passes:
    """Calls and bytes by name, `file.function`; the bytes of the memory in which those arrays lie,
    once, by the name of the first that is given it; of kernels also the types they are called with,
    each of which Numba compiles the kernel for."""

    def __init__(self) -> None:
        self.calls, self.bytes, self.memory = Counter[str](), Counter[str](), Counter[str]()
        self.signatures: defaultdict[str, set[Any]] = defaultdict(set)
        self._owners: dict[int, Any] = {}

    def add(self, name: str, arguments: tuple[Any, ...]) -> None:
        arrays = [*_arrays(arguments)]
        nbytes = sum(a.nbytes for a in arrays)
        if nbytes:
            self.calls[name] += 1
            self.bytes[name] += nbytes
        for owner in map(memory_of, arrays):
            if id(owner) not in self._owners:
                self._owners[id(owner)] = owner
                self.memory[name] += owner.nbytes


def _arrays(arguments: tuple[Any, ...]) -> Iterator[Any]:
    """Arrays, also those in a tuple of arguments (an epilogue's)."""
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            yield argument
        elif isinstance(argument, tuple):
            yield from _arrays(argument)


class _Counted:
    """A function of NumPy, or a ufunc with its methods."""

    def __init__(self, function: Callable[..., Any], name: str, passes: Passes) -> None:
        self._function, self._name, self._passes = function, name, passes

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._passes.add(self._name, (*arguments, *named.values()))
        return self._function(*arguments, **named)

    def __getattr__(self, method: str) -> Any:
        return _Counted(getattr(self._function, method), f"{self._name}.{method}", self._passes)


class _CountedNumpy:
    """What a file of a backend sees as `np`."""

    def __init__(self, file: str, passes: Passes) -> None:
        self._file, self._passes = file, passes

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type):
            return found
        return _Counted(found, f"{self._file}.np.{name}", self._passes)


@contextmanager
def counted() -> Iterator[Passes]:
    """Counts while the block runs. Kernels must have been compiled before."""
    passes = Passes()
    with ExitStack() as stack:
        for module in [m for name, m in sys.modules.items() if name.startswith(PACKAGE)]:
            if hasattr(module, "np"):
                file = module.__name__.rpartition(".")[2]
                stack.enter_context(patch.object(module, "np", _CountedNumpy(file, passes)))
        if f"{PACKAGE}numba" in sys.modules:
            stack.enter_context(_counted_kernels(passes))
        yield passes


@contextmanager
def _counted_kernels(passes: Passes) -> Iterator[None]:
    """Counts kernels where an operation calls them, and where a recorded step runs them."""
    from minae.backends.cpu_numba import jit
    from minae.backends.cpu_numba.jit import Kernel
    from minae.backends.cpu_numba.program import Kernels

    call, run = Kernel.__call__, Kernels.__call__

    def count(kernel: Any, arguments: tuple[Any, ...], *, passed: bool = True) -> None:
        function = kernel.compiled.py_func
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        if passed:
            passes.add(name, arguments)
        passes.signatures[name].add(tuple(map(kernel.compiled.typeof_pyval, arguments)))

    def call_and_count(kernel: Any, *arguments: Any) -> None:
        if jit._calls.noted is None:
            count(kernel, arguments)
        call(kernel, *arguments)

    def run_and_count(kernels: Any) -> None:
        for bound in kernels.called:
            count(bound.kernel, bound.arguments)
        for bound in kernels.bound:  # another kernel has in the cache what they take
            count(bound.kernel, bound.arguments, passed=False)
        run(kernels)

    with (
        patch.object(Kernel, "__call__", call_and_count),
        patch.object(Kernels, "__call__", run_and_count),
    ):
        yield
