"""A recorded step as a program: its kernels with their arguments, which one call runs.

Between two kernels Python goes through an operation, which looks at shapes and asks for scratch,
and Numba looks at each argument of the kernel: 3 to 5 µs, and a step of M3 starts 70 of them. But
from step to step the arguments of a recorded step stay, arrays and numbers. So kernels are bound
once (`jit.py`), and a compiled loop runs them. Plain form: the calls, one after another. Forward
and backward of M1 take 191 µs in place of 217 at batch 256 and 36 in place of 67 at 32, those of M3
4.5 ms in place of 5.0 and 0.84 in place of 1.1 (`python -m bench.cpu --choices`).

An operation that leaves something to NumPy says so before it does (`not_in_kernels`): it is called
between the kernels before and after it.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import groupby

import numpy as np

from minae.backends.cpu_numba import pool
from minae.backends.cpu_numba.arrays import scratch
from minae.backends.cpu_numba.fusion import Call
from minae.backends.cpu_numba.jit import (
    Bound,
    Noted,
    NotInKernels,
    noted_kernels,
)
from minae.backends.cpu_numba.lifetimes import laid_out
from minae.backends.cpu_numba.threads import most_parts
from minae.backends.spec import Array

_NO_MEMORY = np.empty(0, np.uint8)


class Program:
    """What calls do, in their order. It is written for the scratch of one thread and for so many
    parts: anew where another thread runs it, or where work is taken in more or fewer parts."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self._write()

    def _write(self) -> None:
        self._written_for: tuple[int, int] | None = None  # until all is
        written_for = threading.get_ident(), most_parts()  # before another thread changes it
        self.steps = _steps(laid_out(self.calls, [_scratch_bytes(call) for call in self.calls]))
        self._written_for = written_for

    def __reduce__(self) -> tuple[type["Program"], tuple[list[Call]]]:
        """A copy is written for its own arrays."""
        return Program, (self.calls,)

    def __call__(self) -> None:
        if self._written_for != (threading.get_ident(), most_parts()):
            self._write()
        for step in self.steps:
            step()


class Kernels:
    """Kernels that follow one another, run by one call."""

    def __init__(self, called: list[Bound], bound: list[Bound]) -> None:
        self.called = called
        self.bound = bound  # those that some of these run
        self._codes = np.array([kernel.code for kernel in called], np.int64)
        self._places = np.array([kernel.place for kernel in called], np.int64)
        self._parts = max((kernel.parts for kernel in called), default=0)

    def __call__(self) -> None:
        pool.run(self._codes, self._places, self._parts)


def _steps(calls: list[tuple[Call, Array]]) -> list[Callable[[], None]]:
    """Kernels that follow one another as one, and between them the calls that are not kernels."""
    steps: list[Callable[[], None]] = []
    noted = [(call, kernels_of(call, memory)) for call, memory in calls]
    for in_kernels, group in groupby(noted, lambda pair: pair[1] is not None):
        if in_kernels:
            kernels = [kernels for _, kernels in group if kernels is not None]
            called = [kernel for one in kernels for kernel in one.called]
            steps.append(Kernels(called, [kernel for one in kernels for kernel in one.bound]))
        else:
            steps += [partial(function, **arguments) for (function, arguments), _ in group]
    return steps


def kernels_of(call: Call, memory: Array = _NO_MEMORY) -> Noted | None:
    """The kernels of a call, compiled and bound, their scratch in this memory; None if they do not
    do all of the call."""
    function, arguments = call
    try:
        with noted_kernels() as noted, scratch.from_block(memory):
            function(**arguments)
    except NotInKernels:
        return None
    return noted


def _scratch_bytes(call: Call) -> int:
    """How many bytes of scratch a call takes."""
    function, arguments = call
    with suppress(NotInKernels), noted_kernels(), scratch.from_block(_NO_MEMORY) as block:
        function(**arguments)
        return block.size
    return 0
