"""A first step's kernels are compiled by two processes, each a share of them.

Numba compiles a kernel where it is first called, and a first step calls twenty of them, one after
another: 4 to 9 s on one core, once for an installation. But the list of a recorded step says what
will be called, and a kernel that is bound (`jit.py`) is compiled and not run. So another process
binds its share of the calls, on zeros of the same shapes, and leaves the kernels in Numba's cache
on disk, while this one binds the rest and then waits for it. Where a cache holds all of them no
process is started, and none without a cache, or for a single thread. Whatever fails there is
compiled here.
"""

# mypy: allow-untyped-calls

import io
import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numba.core import event
from numba.core.caching import NullCache

from minae.backends.cpu_numba import pool
from minae.backends.cpu_numba.fusion import Call
from minae.backends.cpu_numba.program import kernels_of
from minae.backends.cpu_numba.threads import most_parts
from minae.backends.spec import Array

_PROGRAM = "from minae.backends.cpu_numba.ahead import compile_calls; compile_calls()"


# Seconds that kernels take to be compiled, where it is more than 0.2; operations that have most of
# their code in common are compiled by one process. The other one is late by loading Numba.
_SECONDS = {
    ("forward", "conv2d_forward", "conv2d_weight_gradient"): 2.4,
    ("output_layer",): 2.0,
    ("input_gradient", "conv2d_input_gradient"): 1.8,
    ("sparse_matmul", "sparse_weight_gradient"): 1.4,
    ("scaled_sparse_matmul", "scaled_sparse_weight_gradient"): 1.4,
    ("bias_activation_backward",): 0.8,
    ("matmul",): 0.6,
    ("adam", "adamw"): 0.3,
    ("random_normal",): 0.3,
}
_OTHERWISE, _LATE, _LONGEST = 0.2, 0.8, 60.0


def compile_kernels(calls: list[Call]) -> None:
    """Compiles the kernels of these calls, or has them compiled. What it leaves, kernels of calls
    that NumPy does a part of, is compiled where it is first called."""
    here, there = _shares(calls)
    helper, begin = _Helper(there), time.monotonic()
    try:
        with event.install_listener("numba:compile", helper):
            for call in here:
                kernels_of(call)
        if time.monotonic() - begin > _LATE:  # else most was in the cache, and so is the rest
            helper.wait()
    finally:
        helper.end()


def _shares(calls: list[Call]) -> tuple[list[Call], list[Call]]:
    """The calls of this process and of the other, such that both end at about the same time: the
    longest first, each to the one that is done earlier."""
    groups: dict[tuple[str, ...], list[Call]] = {}
    for function, arguments in calls:
        operation = arguments.get("convolve", function).__name__  # of a fused call the longest
        group = next((names for names in _SECONDS if operation in names), (operation,))
        groups.setdefault(group, []).append((function, arguments))
    shares: tuple[list[Call], list[Call]] = ([], [])
    ends = [0.0, _LATE]
    for group in sorted(groups, key=lambda group: -_SECONDS.get(group, _OTHERWISE)):
        earlier = ends.index(min(ends))
        ends[earlier] += _SECONDS.get(group, _OTHERWISE)
        shares[earlier].extend(groups[group])
    return shares


def compile_calls() -> None:
    """What the other process does: the calls that it reads, one after another, after what runs all
    kernels."""
    pool.make_ready()
    with suppress(EOFError):
        while True:
            call = _Unpickler(sys.stdin.buffer).load()
            with suppress(Exception):
                kernels_of(call)


class _Helper(event.Listener):
    """Starts the process when Numba says that it compiles a kernel which its cache may keep."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.process: subprocess.Popen[bytes] | None = None
        # an application that holds Python may be what sys.executable names, or nothing
        python = "python" in Path(sys.executable or "").name.lower() and not hasattr(sys, "frozen")
        self.wanted = python and most_parts() > 1 and len(calls) > 0

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

    def wait(self) -> None:
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_LONGEST)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _described(calls: list[Call]) -> list[bytes]:
    """The calls as bytes, like ones once."""
    texts: dict[bytes, None] = {}
    for call in calls:
        text = io.BytesIO()
        with suppress(Exception):  # what no other process can call
            _Pickler(text).dump(call)
            texts[text.getvalue()] = None
    return list(texts)


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
