"""Numba's compiler, less what a first step can do without: a quarter of its time.

**Code that nobody runs.** Numba makes of every function machine code, and a wrapper by which Python
calls it, with a copy of all that the function calls. But what a kernel calls ends in the kernel's
own code, inlined or beside it, and its own is never run. So a function is compiled in two ways: as
a kernel, where Python calls it, and as a callee, where a kernel does; that stops at the optimized
module which is linked into the kernel. What is linked, and so the kernel's code, is the same.

**Collecting garbage**, a tenth of the time: the collector walks the compiler's objects over and
over while they are all in use.

And it is told how long vectors are: as long as the processor has them.
"""

# mypy: allow-untyped-calls

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeAlias, cast

from llvmlite import binding  # type: ignore[import-untyped]
from numba import _dynfunc, config, njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import intrinsic as numba_intrinsic

from minae.backends.cpu_numba.kernel_cache import KernelCache

Function: TypeAlias = Callable[..., Any]

intrinsic: Callable[[Function], Function] = numba_intrinsic


def _has_avx512() -> bool:
    """Whether what Numba compiles for has vectors of 512 bits: the processor, unless
    NUMBA_CPU_NAME, NUMBA_CPU_FEATURES or NUMBA_ENABLE_AVX says otherwise."""
    if config.CPU_FEATURES is not None:
        return "+avx512f" in config.CPU_FEATURES.split(",")
    return bool(config.ENABLE_AVX and binding.get_host_cpu_features().get("avx512f", False))


AVX512 = _has_avx512()
VECTOR_BYTES = 64 if AVX512 else 32

# error_model="numpy": a division by zero gives inf or NaN. With Python's error model each division
# is a branch to an exception, and a loop that branches is not vectorized.
# _nrt=False: kernels allocate nothing, so no references are counted, nor compiled to be.
ELEMENTWISE = {
    "_nrt": False,
    "nogil": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
}
# reassoc and nsz let a sum be taken in lanes, in an order that is fixed for each length. nnan and
# ninf stay out: with them a diverged loss could come out as a finite number.
REDUCTION = {**ELEMENTWISE, "fastmath": {"contract", "reassoc", "nsz"}}


def compiled(function: Function, **options: Any) -> Function:
    """`numba.njit`: for Python a kernel, kept in the cache on disk; for kernels a callee."""
    kernel: Any = njit(**options, pipeline_class=_KernelCompiler)(function)
    with suppress(RuntimeError):  # no folder can be written: each process compiles anew
        kernel._cache = KernelCache(function)

    @cache  # made where it is wanted: not where kernels are in the cache
    def callee() -> Any:
        return njit(**options | CALLEE)(function)

    # what a kernel that is being compiled asks of the functions that it calls
    kernel.get_call_template = lambda *asked: callee().get_call_template(*asked)
    kernel.get_overload = lambda *asked: callee().get_overload(*asked)
    return cast(Function, kernel)


class _Library(JITCodeLibrary):
    """A function's code, whose loops become vectors of VECTOR_BYTES, as what is written in
    vectors is. By itself LLVM takes half of that on Intel's processors."""

    def add_ir_module(self, module: Any) -> None:
        for function in module.functions:
            # past a check that knows attributes of one word only
            set.add(function.attributes, f'"prefer-vector-width"="{8 * VECTOR_BYTES}"')
        super().add_ir_module(module)


class _KernelCompiler(Compiler):
    """The compiler for what Python calls; what that calls in turn is compiled meanwhile."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()  # that it may be kept in the cache
        return super().define_pipelines()

    def compile_extra(self, function: Function) -> Any:
        collects = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if collects:
                gc.enable()


class _CalleeCompiler(Compiler):
    """The compiler for what only kernels call."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = _Callee(state.targetctx.codegen(), state.func_id.func_qualname)
        state.targetctx = state.targetctx.subtarget(get_executable=_without_code)
        return super().define_pipelines()


# CPython's function that sets "bad argument type for built-in operation" and returns NULL
_REFUSAL = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


class _Callee(_Library):
    """What is linked into kernels. It ends optimized; machine code would be the next step."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


def _without_code(library: Any, description: Any, environment: Any) -> Any:
    """What Numba knows a callee by: a function for Python, which here raises TypeError."""
    module, name = description.lookup_module(), description.qualname
    return _dynfunc.make_function(module, name, "", _REFUSAL, environment, (library,))


CALLEE: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _CalleeCompiler,
}
"""Options of `njit` for what only kernels call. Called from Python it raises TypeError."""
