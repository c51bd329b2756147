"""Where the arrays of a recorded step lie: in one place those that are not needed at one time.

Layers keep what they make, each in memory of its own. But a step's list of calls says when an array
is first written and last read. A gradient in x is read by the layer before and then no more, a
layer's output after its backward pass no more, scratch by one operation alone.

An array is moved if all of its memory was made by `empty`, which promises nothing of what it holds;
if the step writes all of it before anything reads it; and if it only reads it in the end, since
what it writes last is a result. At batch 256 M5's take 14.6 MB, and would 34.6 side by side; its
step takes 0.91 of the time, and M3's 0.95, as what they need is more often in the caches.
"""

from bisect import insort
from collections.abc import Callable
from functools import cache
from inspect import Parameter, signature
from typing import Any, NamedTuple

import numpy as np

from minae.backends.cpu_numba.arrays import made_by_empty, memory_of, scratch
from minae.backends.cpu_numba.fusion import Call, arrays_of
from minae.backends.spec import Array

_LINE = 64  # bytes of a cache line, on which each array begins


class Life(NamedTuple):
    """So many bytes, needed from one call of a step to another."""

    size: int
    first: int
    last: int

    def meets(self, other: "Life") -> bool:
        return self.first <= other.last and other.first <= self.last


def places(lives: list[Life]) -> tuple[list[int], int]:
    """The first byte of each, and bytes of them all: each at the first place where it overlaps none
    of those that are needed at one time with it. Those that are needed longest come first: lives
    lie within one another, as backward goes the way of forward back."""
    found = [0] * len(lives)
    placed: list[tuple[int, int]] = []  # (first byte, number), in this order
    order = sorted((life.first - life.last, -life.size, i) for i, life in enumerate(lives))
    for _, _, i in order:
        for place, j in placed:
            if lives[i].meets(lives[j]) and place < found[i] + lives[i].size:
                found[i] = max(found[i], place + lives[j].size)
        insort(placed, (found[i], i))
    ends = [place + life.size for place, life in zip(found, lives, strict=True)]
    return found, max(ends, default=0)


def laid_out(calls: list[Call], scratch_bytes: list[int]) -> list[tuple[Call, Array]]:
    """The calls of a step, their arrays moved, and the scratch of each, of so many bytes."""
    uses = [used for used in _uses(calls) if _may_be_moved(used)]
    of_arrays = [Life(_lines(_whole(used).nbytes), used[0].call, used[-1].call) for used in uses]
    of_scratch = [Life(n, i, i) for i, n in enumerate(scratch_bytes)]
    found, size = places(of_arrays + of_scratch)
    memory = scratch("program", (size,), np.uint8)
    moved: dict[int, Array] = {}  # one for each array: operations ask whether two are the same
    for used, place in zip(uses, found, strict=False):
        start = _whole(used).ctypes.data
        for x in (use.array for use in used):
            offset = place + x.ctypes.data - start
            moved[id(x)] = np.ndarray(x.shape, x.dtype, memory, offset, x.strides)
    return [
        ((function, _with(named, moved)), memory[place : place + n])
        for (function, named), place, n in zip(
            calls, found[len(uses) :], scratch_bytes, strict=True
        )
    ]


class _Use(NamedTuple):
    """That a call is given an array: as a result, which may be one that is added to, or to read."""

    call: int
    array: Array
    result: bool
    read: bool


def _uses(calls: list[Call]) -> list[list[_Use]]:
    """Which calls are given memory that was made by `empty`, of each piece in their order."""
    uses: dict[int, list[_Use]] = {}
    for i, (function, named) in enumerate(calls):
        results, adds = _results(function), named.get("accumulate", False)
        for name, value in named.items():
            result = name in results
            for x in arrays_of({name: value}):
                if made_by_empty(x):
                    uses.setdefault(id(memory_of(x)), []).append(
                        _Use(i, x, result, not result or adds)
                    )
    return [*uses.values()]


@cache
def _results(function: Callable[..., None]) -> frozenset[str]:
    """The names of what an operation writes: by the contract, what is given by keyword."""
    parameters = signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)


def _may_be_moved(uses: list[_Use]) -> bool:
    begin = [use for use in uses if use.call == uses[0].call]
    end = [use for use in uses if use.call == uses[-1].call]
    return (
        not any(use.read for use in begin)
        and not any(use.result for use in end)
        and _whole(uses).nbytes + _LINE >= memory_of(uses[0].array).nbytes
    )


def _whole(uses: list[_Use]) -> Array:
    """What the first call writes, the largest if it writes several."""
    begin = [use.array for use in uses if use.call == uses[0].call]
    return max(begin, key=lambda x: x.nbytes)


def _lines(size: int) -> int:
    return -(-size // _LINE) * _LINE


def _with(named: dict[str, Any], moved: dict[int, Array]) -> dict[str, Any]:
    """The arguments, arrays replaced by those that are moved."""
    return {
        name: _with(value, moved) if isinstance(value, dict) else moved.get(id(value), value)
        for name, value in named.items()
    }
