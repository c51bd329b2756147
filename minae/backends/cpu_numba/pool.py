"""The threads that run kernels, and how the parts of a kernel come to them.

Who runs kernels, the caller, does part 0 of each, and the workers 1, 2, ... do parts 1, 2, ... The
caller puts a kernel down under a number, and the workers wait for the number to change: they look
all the time while kernels are run and a little longer, till the next step, and then sleep.

What a worker has not begun when the caller is done with its own part, the caller does too. So
nobody waits for a thread which the machine keeps from its core, milliseconds where others are busy,
unless it is in the middle of a part; a pool of OpenMP waits for all of its threads at each kernel.
Who does a part changes nothing in what it computes. Beside two busy processes on two cores a step
of the VAE took 5.9 ms, on OpenMP 15.5, and 2.2 alone.

While a thread runs kernels it takes subnormal numbers as zero (`subnormals.py`).

The caller and the workers share words of memory, each that is written by another one in a cache
line of its own:

    number       of the job, which is one kernel, times 2¹⁶; plus how many parts it has
    code, place  of that kernel (`jit.Bound`)
    caller       on how many threads kernels are being run; 0 while none are
    turn[part]   2 times the number of the last job of which this part was taken; 1 more when the
                 worker has done it. Who changes it from less, by a compare-and-swap, takes the part
"""

# mypy: allow-untyped-calls

import os
import platform
import threading
from contextlib import suppress
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.compiler import ELEMENTWISE, compiled, intrinsic
from minae.backends.cpu_numba.subnormals import flush_subnormals, restore
from minae.backends.spec import Array

INTEGER, BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
PART_FUNCTION = ir.FunctionType(ir.VoidType(), [INTEGER, BYTES])  # (part, arguments)

_LINES = 128  # bytes: two cache lines, which processors fetch together
_CODE, _PLACE, _CALLER, _TURNS = 8, 16, _LINES, 2 * _LINES  # the number is at 0
_BITS = 16  # of a number that are the parts
_PARTS = (1 << _BITS) - 1
# How often a thread looks in vain before it lets others have its core, or sleeps: 0.1 to 0.4 ms
# where a pause takes 40 to 140 cycles (x86)
_LOOKS = 10_000

_PAUSE = {  # how a loop says that it waits, by processor
    "x86_64": ("llvm.x86.sse2.pause", []),
    "AMD64": ("llvm.x86.sse2.pause", []),
    "aarch64": ("llvm.aarch64.hint", [ir.Constant(ir.IntType(32), 1)]),
    "arm64": ("llvm.aarch64.hint", [ir.Constant(ir.IntType(32), 1)]),
}.get(platform.machine())
_GIVE_WAY = "SwitchToThread" if os.name == "nt" else "sched_yield"


class Pool:
    """Runs kernels on so many threads, the caller's among them. The others are started when they
    are first wanted; where the system has no more threads, the caller does without."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._words = np.zeros((_TURNS + threads * _LINES) // 8, np.int64)
        self._workers: list[_Worker] = []
        self._starting = threading.Lock()
        self._started = threads == 1

    def run(self, codes: Array, places: Array, parts: int) -> None:
        """Runs the kernels with these codes and arguments, in so many parts at most, one after
        another."""
        if parts > 1:
            if not self._started:
                self._start()
            for worker in self._workers[: parts - 1]:
                if worker.asleep:
                    worker.wake()
        _run(self._words.ctypes.data, self.threads, codes, places)

    def end(self) -> None:
        """Ends the threads; kernels are still run, by the caller."""
        with self._starting:
            self._started = True
        for worker in self._workers:
            worker.end()

    def _start(self) -> None:
        make_ready()
        with self._starting:
            if self._started:
                return
            self._started = True
            for part in range(1, self.threads):
                worker = _Worker(self._words, part)
                with suppress(RuntimeError):
                    worker.start()
                    self._workers.append(worker)


class _Worker(threading.Thread):
    """Does one part of each kernel. It holds Python's lock only to go to sleep and to wake up."""

    def __init__(self, words: Array, part: int) -> None:
        super().__init__(name=f"minae, part {part}", daemon=True)
        self._words, self._part = words, part
        self._ended = False
        self._awake = threading.Event()
        self.asleep = False

    def run(self) -> None:
        while True:
            self._awake.clear()
            if self._ended:
                return
            # From here on who runs kernels wakes it up. Were that said after it has looked for the
            # last time, it would sleep through what is begun while it waits for Python's lock.
            self.asleep = True
            _work(self._words.ctypes.data, self._part)
            self._awake.wait()

    def wake(self) -> None:
        self.asleep = False
        self._awake.set()

    def end(self) -> None:
        self._ended = True
        self.wake()


@intrinsic
def do_part(typing_context: Any, code: Any, place: Any, part: Any) -> Any:
    """Does one part of a bound kernel, here and now; nothing where code is 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code, place, part = values
        with builder.if_then(builder.icmp_signed("!=", code, INTEGER(0))):
            function = builder.inttoptr(code, PART_FUNCTION.as_pointer())
            builder.call(function, [part, builder.inttoptr(place, BYTES)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def _load(typing_context: Any, address: Any) -> Any:
    """A word that another thread may write. What that one wrote before it is seen from here on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_word(builder, values[0]), "acquire", align=8)

    return types.intp(types.intp), generate


@intrinsic
def _store(typing_context: Any, address: Any, value: Any) -> Any:
    """Writes a word after all that was written up to here."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], _word(builder, values[0]), "release", align=8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


@intrinsic
def _swap(typing_context: Any, address: Any, before: Any, after: Any) -> Any:
    """Writes `after` if the word is `before`, in one; whether it was."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, before, after = values
        found = builder.cmpxchg(_word(builder, address), before, after, "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(types.intp, types.intp, types.intp), generate


@intrinsic
def _pause(typing_context: Any) -> Any:
    """Tells the processor that a loop waits."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if _PAUSE is not None:
            name, arguments = _PAUSE
            kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _give_way(typing_context: Any) -> Any:
    """Lets other threads have the core, if there are any that want it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, _GIVE_WAY), [])
        return context.get_dummy_value()

    return types.void(), generate


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, INTEGER.as_pointer())


def _on_pool(function: Any) -> Any:
    return compiled(function, **ELEMENTWISE)


@_on_pool
def _run(words: int, threads: int, codes: Array, places: Array) -> None:
    """Runs kernels; all parts here if another thread is running some."""
    mode = flush_subnormals()
    shared = _swap(words + _CALLER, 0, threads)
    for i in range(len(codes)):
        parts = _load(places[i])  # comes first
        if shared and 1 < parts <= threads:
            _share_out(words, codes[i], places[i], parts)
        else:
            for part in range(parts):
                do_part(codes[i], places[i], part)
    if shared:
        _store(words + _CALLER, 0)
    restore(mode)


@_on_pool
def _share_out(words: int, code: int, place: int, parts: int) -> None:
    """Runs a kernel, each part on its worker, or here where that one is late."""
    job = (_load(words) >> _BITS) + 1
    _store(words + _CODE, code)
    _store(words + _PLACE, place)
    _store(words, (job << _BITS) + parts)
    do_part(code, place, 0)
    for part in range(1, parts):
        if _take(words, job, part):
            do_part(code, place, part)
        else:
            looks = 0
            while _load(words + _TURNS + part * _LINES) <= 2 * job:
                looks = _wait(looks)


@_on_pool
def _work(words: int, part: int) -> None:
    """Does this part of each job, until kernels are no longer run."""
    mode = flush_subnormals()
    seen, looks = 0, 0
    while looks < _LOOKS or _load(words + _CALLER) > part:
        number = _load(words)
        if number == seen:
            looks = _wait(looks)
            continue
        seen, looks, job = number, 0, number >> _BITS
        if part < number & _PARTS and _take(words, job, part):
            do_part(_load(words + _CODE), _load(words + _PLACE), part)
            _store(words + _TURNS + part * _LINES, 2 * job + 1)
    restore(mode)


@_on_pool
def _take(words: int, job: int, part: int) -> bool:
    """Whether this part of the job was nobody's, and now is who asks's."""
    turn = words + _TURNS + part * _LINES
    before = _load(turn)
    return bool(before < 2 * job and _swap(turn, before, 2 * job))


@_on_pool
def _wait(looks: int) -> int:
    """Between two looks, of which there were so many; one more."""
    if looks < _LOOKS:
        _pause()
        return looks + 1
    _give_way()
    return looks


_pool = Pool(1)


def run(codes: Array, places: Array, parts: int) -> None:
    """Runs the kernels with these codes and arguments, in so many parts at most, one after
    another."""
    _pool.run(codes, places, parts)


def make_ready() -> None:
    """Compiles what runs kernels, by running none."""
    words, none = np.zeros(2 * _TURNS // 8, np.int64), np.zeros(0, np.int64)
    _run(words.ctypes.data, 1, none, none)
    _work(words.ctypes.data, 1)


def resize(threads: int) -> None:
    """From now on kernels are run on so many threads."""
    before = _pool
    _replace(threads)
    before.end()


def _replace(threads: int) -> None:
    global _pool
    _pool = Pool(threads)


if hasattr(os, "register_at_fork"):  # the new process has none of the threads, but may have locks
    os.register_at_fork(after_in_child=lambda: _replace(_pool.threads))  # that they held
