"""A second process that compiles a first step's kernels from its end, this one from its beginning.

Numba compiles a kernel where it is first called, and a first step calls twenty of them, one after
another: 3 to 6 s on one core, once for an installation. The list of a recorded step says before its
first call which operations will follow. Another process does them in reverse order, on zeros of the
same shapes, and leaves their kernels in Numba's cache on disk, where this one finds those that it
has not come to yet. Where a cache holds all of them no process is started, and none without a
cache, or for a single thread. Whatever fails there is compiled here.
"""

# mypy: allow-untyped-calls

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numba.core import event
from numba.core.caching import NullCache

from minae.backends.cpu_numba.fusion import Call
from minae.backends.cpu_numba.threads import most_parts, set_threads
from minae.backends.spec import Array

_PROGRAM = "from minae.backends.cpu_numba.ahead import compile_calls; compile_calls()"


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


def compile_calls() -> None:
    """What the other process does: the calls that it reads, one after another."""
    set_threads(1)  # the other core is for who waits
    with suppress(EOFError):
        while True:
            function, arguments = _Unpickler(sys.stdin.buffer).load()
            with suppress(Exception):
                function(**arguments)


class _Helper(event.Listener):
    """Starts the process when Numba says that it compiles a kernel which its cache may keep."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.process: subprocess.Popen[bytes] | None = None
        # an application that holds Python may be what sys.executable names, or nothing
        python = "python" in Path(sys.executable or "").name.lower() and not hasattr(sys, "frozen")
        self.wanted = python and most_parts() > 1

    def on_start(self, event: Any) -> None:
        if self.wanted and not isinstance(event.data["dispatcher"]._cache, NullCache):
            self.wanted = False
            with suppress(Exception):  # it must do no harm: all is compiled here, then
                self.start()

    def on_end(self, event: Any) -> None:
        pass

    def start(self) -> None:
        path = os.pathsep.join(folder for folder in sys.path if isinstance(folder, str))
        with TemporaryFile() as file:
            file.writelines(_described(self.calls))
            file.seek(0)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],
                env=os.environ | {"PYTHONPATH": path},
                stdin=file,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _described(calls: list[Call]) -> list[bytes]:
    """All calls of the operation that is wanted last for the first time, then of the last but one,
    and so on; each once."""
    by_operation: dict[Any, dict[bytes, None]] = {}
    for function, arguments in calls:
        text = io.BytesIO()
        with suppress(Exception):  # what no other process can call
            _Pickler(text).dump((function, arguments))
            operation = arguments.get("convolve", function)  # of a fused call what takes longest
            by_operation.setdefault(operation, {})[text.getvalue()] = None
    return [text for texts in reversed(by_operation.values()) for text in texts]


class _Pickler(pickle.Pickler):
    """Writes of an array what Numba compiles for, and which arrays of a call are the same."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.numbers: dict[int, int] = {}

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            number = self.numbers.setdefault(id(value), len(self.numbers))
            return number, value.shape, value.dtype.str, value.strides, value.flags.writeable
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.arrays: dict[int, Array] = {}

    def persistent_load(self, found: Any) -> Array:
        number, *kind = found
        if number not in self.arrays:
            self.arrays[number] = _zeros(*kind)
        return self.arrays[number]


def _zeros(shape: tuple[int, ...], dtype: str, strides: tuple[int, ...], writeable: bool) -> Array:
    """Zeros with these steps, in bytes, from number to number."""
    reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True) if n > 0]
    memory = np.zeros(sum(map(abs, reach)) + np.dtype(dtype).itemsize, np.uint8)
    first = -sum(step for step in reach if step < 0)
    array: Array = np.ndarray(shape, dtype, memory, first, strides)
    array.flags.writeable = writeable
    return array
