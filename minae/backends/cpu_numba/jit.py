"""How the kernels of this backend are compiled and called, and how their parts come to the threads.

A threaded kernel is written for one part of the work, `kernel(part, parts, ...)`, and called for
all, `kernel(parts, ...)`. Numba's own way, a loop over `prange`, takes four rounds of the compiler
to make a function of the loop's body, of its wrapper and of what is around it: half a second more
a kernel, where a first step compiles a dozen. Here `_over_parts` writes the call into the pool
itself, a dozen instructions, and the kernel is compiled once.

A kernel can also be *bound*: its arguments are written into memory, and with the address of its
code they are all that it takes to run it. So it can be handed over to another kernel, which makes
what it takes, some samples at a time, and lets the part follow that is for these while they lie in
the cache (`epilogue.py`); and so a step's kernels are run without Python (`program.py`).
"""

# mypy: allow-untyped-calls

import importlib
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import config, njit, types
from numba.core import cgutils
from numba.core.compiler import compile_internal
from numba.core.targetconfig import ConfigStack
from numba.extending import intrinsic as numba_intrinsic

from minae.backends.cpu_numba.compiler import compiled
from minae.backends.spec import Array

Function: TypeAlias = Callable[..., Any]
intrinsic: Callable[[Function], Function] = numba_intrinsic

_ON_POOL, _POOL_SIZE = "minae_on_pool", "minae_pool_size"  # names of the pool's functions in LLVM


@contextmanager
def _little_spinning() -> Iterator[None]:
    """An OpenMP (GNU's) that is loaded meanwhile lets a thread that waits look 10 000 times before
    it sleeps, and not 300 000: beside two busy processes threads that spin keep the one they wait
    for from its core, and a step of 2 ms took 150. With 1000 idle steps took longer."""
    settings = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    if settings & os.environ.keys():  # the user's
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "10000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _openmp() -> bool:
    """Whether Numba's OpenMP pool is there. Another pool that the user has chosen is left alone.

    Without it, work comes in one part and no pool is called; compiled kernels name one all the
    same, so that a cache serves both.
    """
    try:
        with _little_spinning():
            pool: Any = importlib.import_module("numba.np.ufunc.omppool")
        found = True
    except ImportError:  # no libgomp or libomp on this machine
        pool, found = importlib.import_module("numba.np.ufunc.workqueue"), False
    binding.add_symbol(_ON_POOL, pool.parallel_for)
    binding.add_symbol(_POOL_SIZE, pool.get_num_threads)
    if found and config.THREADING_LAYER == "default":
        config.THREADING_LAYER = "omp"
    return found and bool(config.THREADING_LAYER == "omp")


OPENMP = _openmp()

# error_model="numpy": a division by zero gives inf or NaN. With Python's error model each division
# is a branch to an exception, and a loop that branches is not vectorized.
# _nrt=False: kernels allocate nothing, so no references are counted, nor compiled to be.
_ELEMENTWISE = {
    "_nrt": False,
    "nogil": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
}
# reassoc and nsz let a sum be taken in lanes, in an order that is fixed for each length. nnan and
# ninf stay out: with them a diverged loss could come out as a finite number.
_REDUCTION = {**_ELEMENTWISE, "fastmath": {"contract", "reassoc", "nsz"}}


def elementwise(function: Function) -> Function:
    """Compiles what kernels call, its numbers rounded step by step, as they are in NumPy."""
    return compiled(function, **_ELEMENTWISE)


def reduction(function: Function) -> Function:
    """Compiles what kernels call, such that floating sums may be taken in any order."""
    return compiled(function, **_REDUCTION)


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


class Noted(NamedTuple):
    """The kernels that operations have called, in their order, and those that were bound for one
    of these."""

    called: list[Bound]
    bound: list[Bound]


class _Noting(threading.local):
    noted: Noted | None = None  # where this thread notes kernels, while it does


_noting = _Noting()


@contextmanager
def noted_kernels() -> Iterator[Noted]:
    """What this thread calls meanwhile is noted and not run."""
    before, _noting.noted = _noting.noted, Noted([], [])
    try:
        yield _noting.noted
    finally:
        _noting.noted = before


class NotInKernels(Exception):
    """Kernels do not do all of an operation."""


def not_in_kernels() -> None:
    """To be called before NumPy does a part of an operation: raises while kernels are noted."""
    if _noting.noted is not None:
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
        if _noting.noted is None:
            self.compiled(0, *arguments)
        else:
            _noting.noted.called.append(self._with(arguments))

    def bound(self, *arguments: Any) -> Bound:
        """The kernel with these arguments, to be run by another."""
        bound = self._with(arguments)
        if _noting.noted is not None:
            _noting.noted.bound.append(bound)
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
    """The function of (bound_at, parts, ...) that runs all parts of the kernel, each on a thread,
    where `bound_at` is 0. Else it writes the arguments at this address, and returns that of the
    code. Of a kernel that is not in parts there is one.

    It is written as source, since Numba sorts calls by the types of named arguments, and has the
    place and the name of `of`, by which Numba finds it in its cache.
    """
    parameters = [*inspect.signature(kernel).parameters]
    _, parts, *names = parameters if in_parts else ["", "1", *parameters]
    taken = ["bound_at", *([parts] if in_parts else []), *names]
    # Two kernels of one name, compiled in two processes and loaded by a third, would be taken for
    # one another: names in machine code are those of the functions.
    kernel.__qualname__ = of.__qualname__
    place = of.__code__
    source = (
        "\n" * (place.co_firstlineno - 1)
        + f"def {of.__name__}({', '.join(taken)}): "
        + f"return _run(bound_at, {parts}, ({''.join(name + ', ' for name in names)}))"
    )
    run = _runner(kernel, in_parts=in_parts)
    scope: dict[str, Any] = {"_run": run, "__name__": of.__module__}
    exec(compile(source, place.co_filename, "exec"), scope)
    function: Function = scope[of.__name__]
    function.__doc__ = of.__doc__
    return function


def _runner(kernel: Function, *, in_parts: bool) -> Function:
    """The intrinsic (place, parts, arguments) that calls kernel(part, parts, *arguments) for each
    part, or kernel(*arguments); or binds the kernel."""

    @intrinsic
    def run(typing_context: Any, place: Any, parts: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            shared = ir.LiteralStructType([value.type for value in values[1:]])
            size = context.get_abi_sizeof(shared)
            if size > ARGUMENT_BYTES:
                raise ValueError(
                    f"arguments of {kernel.__qualname__} take {size} of {ARGUMENT_BYTES} bytes"
                )
            here = cgutils.alloca_once(builder, shared)
            there = builder.inttoptr(values[0], here.type)
            body = _part_function(context, builder, kernel, arguments, here.type, in_parts)
            at_once = builder.icmp_signed("==", values[0], _INTEGER(0))
            memory = builder.select(at_once, here, there)
            builder.store(cgutils.pack_struct(builder, values[1:]), memory)
            with builder.if_then(at_once):
                _launch(builder, body, values[1], builder.bitcast(here, _BYTES))
            return builder.ptrtoint(body, _INTEGER)

        return types.intp(types.intp, types.intp, arguments), generate

    return run


@intrinsic
def do_part(typing_context: Any, code: Any, place: Any, part: Any) -> Any:
    """Does one part of a bound kernel, here and now; nothing where code is 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code, arguments, part = values
        with builder.if_then(builder.icmp_signed("!=", code, _INTEGER(0))):
            body = builder.inttoptr(code, _PART_FUNCTION.as_pointer())
            number = cgutils.alloca_once_value(builder, builder.inttoptr(part, _BYTES))
            unused = ir.Constant(_INTEGER.as_pointer(), None)
            builder.call(body, [number, unused, unused, builder.inttoptr(arguments, _BYTES)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def do_all_parts(typing_context: Any, code: Any, place: Any) -> Any:
    """Does all parts of a bound kernel, several on the pool."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        body = builder.inttoptr(values[0], _PART_FUNCTION.as_pointer())
        parts = builder.load(builder.inttoptr(values[1], _INTEGER.as_pointer()))  # come first
        _launch(builder, body, parts, builder.inttoptr(values[1], _BYTES))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


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


_INTEGER, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_PART_FUNCTION = ir.FunctionType(
    ir.VoidType(), [_BYTES.as_pointer(), _INTEGER.as_pointer(), _INTEGER.as_pointer(), _BYTES]
)  # (places, sizes, steps, shared), as the pool calls it


def _part_function(
    context: Any, builder: Any, kernel: Function, arguments: Any, shared_type: Any, in_parts: bool
) -> Any:
    """The LLVM function that calls the kernel for one part, with what lies in the shared memory.

    The pool gives each of its tasks a place that lies `step` bytes after the one before: from
    place 0 on with step 1, the place is the number of the part.
    """
    numbered = (types.intp, types.intp) if in_parts else ()
    of_part = types.none(*numbered, *arguments)
    compiled = _compiled_within(context, kernel, of_part)
    function = ir.Function(builder.module, _PART_FUNCTION, f"{compiled.fndesc.mangled_name}.part")
    function.linkage = "internal"
    inside = ir.IRBuilder(function.append_basic_block())
    places, _, _, shared = function.args
    part = inside.ptrtoint(inside.load(places), _INTEGER)
    given = inside.load(inside.bitcast(shared, shared_type))
    parts, packed = cgutils.unpack_tuple(inside, given, 2)
    number = [part, parts] if in_parts else []
    unpacked = cgutils.unpack_tuple(inside, packed, len(arguments))
    context.call_internal_no_propagate(inside, compiled.fndesc, of_part, [*number, *unpacked])
    inside.ret_void()
    return function


def _launch(builder: Any, body: Any, parts: Any, shared: Any) -> None:
    """Runs `body` for the parts 0, 1, ...: one alone here, several on the pool."""
    zero, one = (cgutils.alloca_once_value(builder, _INTEGER(i)) for i in (0, 1))
    sizes = cgutils.alloca_once_value(builder, parts)
    places = builder.bitcast(zero, _BYTES.as_pointer())
    size = ir.FunctionType(_INTEGER, [])
    launch = ir.FunctionType(
        ir.VoidType(), [_BYTES, *_PART_FUNCTION.args, _INTEGER, _INTEGER, ir.IntType(32)]
    )
    with builder.if_else(builder.icmp_signed("==", parts, _INTEGER(1))) as (alone, several):
        with alone:
            builder.call(body, [places, sizes, one, shared])
        with several:
            threads = builder.call(
                cgutils.get_or_insert_function(builder.module, size, _POOL_SIZE), []
            )
            builder.call(
                cgutils.get_or_insert_function(builder.module, launch, _ON_POOL),
                [
                    builder.bitcast(body, _BYTES),
                    *(places, sizes, one, shared),
                    *(_INTEGER(0), _INTEGER(1)),  # inner dimensions, places
                    builder.trunc(threads, ir.IntType(32)),
                ],
            )
