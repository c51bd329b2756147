"""While kernels run, numbers too small for the whole precision of their type count as zero.

Below 1.2e-38 a float32 has fewer bits, down to one at 1.4e-45 (a float64 below 2.2e-308). Intel's
processors take more than a hundred cycles for a vector with one, and training makes them: squares
of small gradients in Adam's averages, and what saturated sigmoids pass back. After some thousand
steps Adam took 990 µs in place of 70 and an output layer 1990 in place of 620. To a loss or a
weight they make no difference.

The x86's mode is of the thread: two bits of its MXCSR. Elsewhere nothing is done.
"""

# mypy: allow-untyped-calls

import platform
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.compiler import intrinsic

_HAS_MXCSR = platform.machine() in ("x86_64", "AMD64")
_FLUSH_TO_ZERO, _DENORMALS_ARE_ZERO = 1 << 15, 1 << 6  # of results, of operands
_AS_ZERO = _FLUSH_TO_ZERO | _DENORMALS_ARE_ZERO
_MODE = ir.IntType(32)


@intrinsic
def flush_subnormals(typing_context: Any) -> Any:
    """From here on this thread takes subnormal numbers as zero; returns the mode it was in."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        before = cgutils.alloca_once(builder, _MODE)
        _call(builder, "llvm.x86.sse.stmxcsr", before)
        mode = builder.load(before)
        _set(builder, builder.or_(mode, ir.Constant(_MODE, _AS_ZERO)))
        return mode

    def nothing(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return ir.Constant(_MODE, 0)

    return types.int32(), generate if _HAS_MXCSR else nothing


@intrinsic
def restore(typing_context: Any, mode: Any) -> Any:
    """Sets the mode that `flush_subnormals` has returned."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if _HAS_MXCSR:
            _set(builder, values[0])
        return context.get_dummy_value()

    return types.void(types.int32), generate


def _set(builder: Any, mode: Any) -> None:
    place = cgutils.alloca_once_value(builder, mode)
    _call(builder, "llvm.x86.sse.ldmxcsr", place)


def _call(builder: Any, name: str, place: Any) -> None:
    """Calls what stores or loads the mode at this place."""
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [builder.bitcast(place, pointer)])
