"""BLAS's matrix product as a function that a kernel can call.

Inside a kernel there is no `np.matmul`. NumPy's wheels bring OpenBLAS with 64-bit integers along;
its `cblas_sgemm` and `cblas_dgemm` are called at their addresses.
"""

# mypy: allow-untyped-calls

import ctypes
from functools import cache
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from minae.backends.cpu_numba.compiler import intrinsic

_PREFIXES = ("scipy_cblas_", "cblas_")  # of the wheels of NumPy >= 1.26, of a plain build
_ROW_MAJOR, _NO_TRANSPOSE, _TRANSPOSE = 101, 111, 112  # of cblas.h


@cache
def products() -> dict[str, int] | None:
    """Addresses of the products of float32 and float64 by dtype; None where BLAS is another."""
    for library in threadpool_info():
        # one that is built on OpenMP would begin a team of its own in each part
        if library["internal_api"] != "openblas" or library.get("threading_layer") == "openmp":
            continue
        symbols = ctypes.CDLL(library["filepath"])
        for prefix in _PREFIXES:
            names = {"float32": f"{prefix}sgemm64_", "float64": f"{prefix}dgemm64_"}
            if all(hasattr(symbols, name) for name in names.values()):
                return {dtype: _address(symbols[name]) for dtype, name in names.items()}
    return None


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


@intrinsic
def gemm(
    typing_context: Any,
    address: Any,
    transpose_a: Any,
    transpose_b: Any,
    M: Any,
    R: Any,
    Q: Any,
    a: Any,
    lda: Any,
    b: Any,
    ldb: Any,
    out: Any,
    ldout: Any,
) -> Any:
    """out (M, R) = op(a) @ op(b), op(a) (M, Q), op(b) (Q, R), all row by row.

    a, b, out: arrays that begin at the first number of each matrix; lda, ldb, ldout: numbers from
    one row in memory to the next.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, *transposed, M, R, Q = arguments[:6]
        number = context.get_data_type(signature.args[6].dtype)
        flag, size, pointer = ir.IntType(32), ir.IntType(64), number.as_pointer()
        matrix = [pointer, size]
        function = ir.FunctionType(
            ir.VoidType(),
            [flag] * 3 + [size] * 3 + [number] + 2 * matrix + [number] + matrix,
        )
        operations = [
            builder.select(t, ir.Constant(flag, _TRANSPOSE), ir.Constant(flag, _NO_TRANSPOSE))
            for t in transposed
        ]
        starts = [
            context.make_array(signature.args[i])(context, builder, arguments[i]).data
            for i in (6, 8, 10)
        ]
        (a, b, out), (lda, ldb, ldout) = starts, arguments[7::2]
        one, zero = ir.Constant(number, 1.0), ir.Constant(number, 0.0)
        builder.call(
            builder.inttoptr(address, function.as_pointer()),
            [
                ir.Constant(flag, _ROW_MAJOR),
                *operations,
                *(M, R, Q, one),
                *(a, lda, b, ldb, zero),
                *(out, ldout),
            ],
        )
        return context.get_dummy_value()

    integer, boolean = types.intp, types.boolean
    return types.void(
        *(integer, boolean, boolean, integer, integer, integer),
        *(a, integer, b, integer, out, integer),
    ), generate
