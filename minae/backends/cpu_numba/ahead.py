"""A second process that compiles a first step's kernels from its end, this one from its beginning.

Numba compiles a kernel where it is first called, and a first step calls twenty of them, one after
another: 3 to 6 s on one core, once for an installation. The list of a recorded step says before its
first call which operations will follow. Another process does them in reverse order, on zeros of the
same shapes, and leaves their kernels in Numba's cache on disk, where this one finds those that it
has not come to yet. Where a cache holds all of them no process is started, and none without a
cache, or on a single core.
"""

# mypy: allow-untyped-calls

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numba import config
from numba.core import event
from numba.core.caching import NullCache

from minae.backends.cpu_numba.fusion import Call
from minae.backends.spec import Array

_PROGRAM = "from minae.backends.cpu_numba.ahead import compile_backwards; compile_backwards()"


@contextmanager
def compiled_ahead(calls: list[Call]) -> Iterator[None]:
    """While these calls are done for the first time: from the first kernel on that has to be
    compiled, another process compiles those of the last calls. It is ended with the context."""
    helper = _Helper(calls)
    try:
        with event.install_listener("numba:compile", helper):
            yield
    finally:
        helper.end()


def compile_backwards() -> None:
    """What the other process does: all calls of the operation that is wanted last for the first
    time, then of the last but one, and so on."""
    by_operation: dict[Any, list[Call]] = {}
    for function, arguments in _Unpickler(sys.stdin.buffer).load():
        operation = arguments.get("convolve", function)  # of a fused call what takes longest
        by_operation.setdefault(operation, []).append((function, arguments))
    for calls in reversed(by_operation.values()):
        for function, arguments in calls:
            function(**arguments)


class _Helper(event.Listener):
    """Starts the process when Numba says that it compiles a kernel which its cache may keep."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.process: subprocess.Popen[bytes] | None = None
        frozen = not sys.executable or hasattr(sys, "frozen")  # an application is no interpreter
        self.wanted = config.NUMBA_DEFAULT_NUM_THREADS > 1 and not frozen

    def on_start(self, event: Any) -> None:
        if self.wanted and not isinstance(event.data["dispatcher"]._cache, NullCache):
            self.wanted = False
            with suppress(OSError):  # no process to be had: all is compiled here
                self.start()

    def on_end(self, event: Any) -> None:
        pass

    def start(self) -> None:
        text = io.BytesIO()
        _Pickler(text).dump(self.calls)
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=quiet,
            stderr=quiet,
        )
        assert self.process.stdin is not None
        with self.process.stdin as pipe:
            pipe.write(text.getvalue())

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()  # in the middle of a kernel: files come to the cache whole
            self.process.wait()


class _Pickler(pickle.Pickler):
    """Writes of an array what Numba compiles for, and which of them are the same."""

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            kind = value.shape, value.dtype.str, value.strides, value.flags.writeable
            return id(value), kind
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.arrays: dict[int, Array] = {}

    def persistent_load(self, found: Any) -> Array:
        number, kind = found
        if number not in self.arrays:
            self.arrays[number] = _zeros(*kind)
        return self.arrays[number]


def _zeros(shape: tuple[int, ...], dtype: str, strides: tuple[int, ...], writeable: bool) -> Array:
    """Zeros with these steps, in bytes, from number to number."""
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True) if n > 0)
    memory = np.zeros(last + np.dtype(dtype).itemsize, np.uint8)
    array: Array = np.ndarray(shape, dtype, memory, strides=strides)
    array.flags.writeable = writeable
    return array
