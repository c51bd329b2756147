"""How the kernels of this backend are compiled and called.

A threaded kernel is written for one part of the work, `kernel(part, parts, ...)`, and called for
all, `kernel(parts, ...)`. Numba's own way, a loop over `prange`, takes four rounds of the compiler
to make a function of the loop's body, of its wrapper and of what is around it: half a second more
a kernel, where a first step compiles a dozen. Here a kernel is compiled once.

What is compiled does not run the kernel, it *binds* it: writes its arguments into memory. With the
address of the kernel's code they are all that it takes to run a part of it. So it can be given to
threads (`pool.py`); to another kernel, which makes what it takes, some samples at a time, and lets
the part follow that is for these while they lie in the cache (`epilogue.py`); and a step's kernels
are run without Python (`program.py`).
"""

# mypy: allow-untyped-calls

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.core.compiler import compile_internal
from numba.core.targetconfig import ConfigStack

from minae.backends.cpu_numba import pool
from minae.backends.cpu_numba.compiler import ELEMENTWISE, REDUCTION, Function, compiled, intrinsic
from minae.backends.cpu_numba.pool import INTEGER, PART_FUNCTION
from minae.backends.spec import Array


def elementwise(function: Function) -> Function:
    """Compiles what kernels call, its numbers rounded step by step, as they are in NumPy."""
    return compiled(function, **ELEMENTWISE)


def reduction(function: Function) -> Function:
    """Compiles what kernels call, such that floating sums may be taken in any order."""
    return compiled(function, **REDUCTION)


inlined: Callable[[Function], Function] = njit(inline="always")
"""Puts a function in place of each call of it, to be compiled, and rounded, as the kernel around
it is."""


ARGUMENT_BYTES = 1024  # in which a kernel's arguments are written


class Bound(NamedTuple):
    """A kernel with its arguments: the addresses of its code and of what is written of them, and
    that memory and the arguments themselves, whose arrays must live as long."""

    kernel: "Kernel"
    code: int
    place: int
    memory: Array
    arguments: tuple[Any, ...]

    @property
    def parts(self) -> int:
        """In how many parts; it is written first."""
        return int(self.memory[:8].view(np.int64)[0])


class Noted(NamedTuple):
    """The kernels that operations have called, in their order, and those that were bound for one
    of these."""

    called: list[Bound]
    bound: list[Bound]


class _Calls(threading.local):
    """Of one thread: where it notes kernels, while it does; and what it runs now, one kernel."""

    noted: Noted | None = None

    def __init__(self) -> None:
        memory = np.empty(ARGUMENT_BYTES, np.uint8)
        self.code, self.place = np.zeros(1, np.int64), np.array([memory.ctypes.data])
        self.parts = memory[:8].view(np.int64)  # is written first


_calls = _Calls()


@contextmanager
def noted_kernels() -> Iterator[Noted]:
    """What this thread calls meanwhile is noted and not run."""
    before, _calls.noted = _calls.noted, Noted([], [])
    try:
        yield _calls.noted
    finally:
        _calls.noted = before


class NotInKernels(Exception):
    """Kernels do not do all of an operation."""


def not_in_kernels() -> None:
    """To be called before NumPy does a part of an operation: raises while kernels are noted."""
    if _calls.noted is not None:
        raise NotInKernels


class Kernel:
    """A kernel as operations call it: run now or, while kernels are noted, bound.

    Numba is told of it at its first call: of a hundred kernels a training calls twenty.
    """

    def __init__(self, make: Callable[[], Function]) -> None:
        self._make = make

    @cached_property
    def compiled(self) -> Function:
        return self._make()

    def __call__(self, *arguments: Any) -> None:
        if _calls.noted is None:
            _calls.code[0] = self.compiled(int(_calls.place[0]), *arguments)
            pool.run(_calls.code, _calls.place, int(_calls.parts[0]))
        else:
            _calls.noted.called.append(self._with(arguments))

    def bound(self, *arguments: Any) -> Bound:
        """The kernel with these arguments, to be run by another."""
        bound = self._with(arguments)
        if _calls.noted is not None:
            _calls.noted.bound.append(bound)
        return bound

    def _with(self, arguments: tuple[Any, ...]) -> Bound:
        memory = np.empty(ARGUMENT_BYTES, np.uint8)
        place = memory.ctypes.data
        return Bound(self, self.compiled(place, *arguments), place, memory, arguments)


def threaded(kernel: Function, of: Function | None = None) -> Kernel:
    """A kernel, rounded as `elementwise`: kernel(part, parts, ...), called as kernel(parts, ...).
    It returns nothing. One that is made around a function, `of`, takes that one's name and place.
    """
    return Kernel(lambda: elementwise(_over_parts(kernel, of or kernel)))


def threaded_reduction(kernel: Function, of: Function | None = None) -> Kernel:
    """A kernel whose sums are taken as those of `reduction`, likewise."""
    return Kernel(lambda: reduction(_over_parts(kernel, of or kernel)))


def serial(kernel: Function) -> Kernel:
    """A kernel for one thread, kernel(...), rounded as `elementwise`."""
    return Kernel(lambda: elementwise(_over_parts(kernel, kernel, in_parts=False)))


def serial_reduction(kernel: Function) -> Kernel:
    """A kernel for one thread whose sums are taken as those of `reduction`."""
    return Kernel(lambda: reduction(_over_parts(kernel, kernel, in_parts=False)))


def _over_parts(kernel: Function, of: Function, *, in_parts: bool = True) -> Function:
    """The function of (bound_at, parts, ...) that writes the number of parts and the arguments at
    this address, and returns that of the kernel's code. A kernel that is not in parts has one.

    It is written as source, since Numba sorts calls by the types of named arguments, and has the
    place and the name of `of`, by which Numba finds it in its cache.
    """
    parameters = [*inspect.signature(kernel).parameters]
    _, parts, *names = parameters if in_parts else ["", "1", *parameters]
    taken = ["bound_at", *([parts] if in_parts else []), *names]
    # Two kernels of one name, compiled in two processes and loaded by a third, would be taken for
    # one another: names in machine code are those of the functions.
    kernel.__qualname__ = of.__qualname__
    code = of.__code__
    source = (
        "\n" * (code.co_firstlineno - 1)
        + f"def {of.__name__}({', '.join(taken)}): "
        + f"return _bind(bound_at, {parts}, ({''.join(name + ', ' for name in names)}))"
    )
    bind = _binder(kernel, in_parts=in_parts)
    scope: dict[str, Any] = {"_bind": bind, "__name__": of.__module__}
    exec(compile(source, code.co_filename, "exec"), scope)
    function: Function = scope[of.__name__]
    function.__doc__ = of.__doc__
    return function


def _binder(kernel: Function, *, in_parts: bool) -> Function:
    """The intrinsic (place, parts, arguments) that binds kernel(part, parts, *arguments), or
    kernel(*arguments)."""

    @intrinsic
    def bind(typing_context: Any, place: Any, parts: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            shared = ir.LiteralStructType([value.type for value in values[1:]])
            size = context.get_abi_sizeof(shared)
            if size > ARGUMENT_BYTES:
                raise ValueError(
                    f"arguments of {kernel.__qualname__} take {size} of {ARGUMENT_BYTES} bytes"
                )
            memory = builder.inttoptr(values[0], shared.as_pointer())
            builder.store(cgutils.pack_struct(builder, values[1:]), memory)
            code = _part_function(context, builder, kernel, arguments, memory.type, in_parts)
            return builder.ptrtoint(code, INTEGER)

        return types.intp(types.intp, types.intp, arguments), generate

    return bind


def _compiled_within(context: Any, function: Function, signature: Any) -> Any:
    """The function compiled into the library of the kernel that is being compiled."""
    flags = ConfigStack().top().copy()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return compile_internal(
        context.typing_context,
        context,
        context.active_code_library,
        function,
        signature.args,
        signature.return_type,
        flags,
        locals={},
    )


def _part_function(
    context: Any, builder: Any, kernel: Function, arguments: Any, shared_type: Any, in_parts: bool
) -> Any:
    """The LLVM function that calls the kernel for one part, with what lies in the shared memory."""
    numbered = (types.intp, types.intp) if in_parts else ()
    of_part = types.none(*numbered, *arguments)
    compiled = _compiled_within(context, kernel, of_part)
    function = ir.Function(builder.module, PART_FUNCTION, f"{compiled.fndesc.mangled_name}.part")
    function.linkage = "internal"
    inside = ir.IRBuilder(function.append_basic_block())
    part, shared = function.args
    given = inside.load(inside.bitcast(shared, shared_type))
    parts, packed = cgutils.unpack_tuple(inside, given, 2)
    number = [part, parts] if in_parts else []
    unpacked = cgutils.unpack_tuple(inside, packed, len(arguments))
    context.call_internal_no_propagate(inside, compiled.fndesc, of_part, [*number, *unpacked])
    inside.ret_void()
    return function
