"""Matrix products by cuBLAS, through a handle of its own that a CUDA graph can hold.

CuPy refuses its own calls of cuBLAS while a graph is captured. The library that it loads is called
here at its C interface instead. All that cuBLAS may not do during a capture is done before, at the
first product: the handle is made, put on the backend's stream, and given a workspace, in this
order, for cublasSetStream takes the workspace away again.

cuBLAS reads a matrix column by column; one that lies in memory row by row is its transpose there:
outᵀ (R, M) = op(b)ᵀ (R, Q) op(a)ᵀ (Q, M), both operands flagged as they were given.

Source: https://docs.nvidia.com/cuda/cublas/ (2.4 Helper Functions, 2.7 gemm, CUDA graphs).
"""

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_size_t, c_void_p
from functools import cache
from typing import Any

import numpy as np

from minae.backends.gpu_cupy import device
from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.spec import Array
from minae.errors import MinaeError

WORKSPACE = 32 * 2**20  # bytes, as cuBLAS advises for sm_90; elsewhere 4 MiB do
TF32_FROM = 80  # compute capability
_FLOAT32, _TF32 = 0, 3  # CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH
_AS_IT_IS, _TRANSPOSED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T

_MATRIX = [c_void_p, c_int]  # address, and numbers from one column to the next


def _arguments(real: Any) -> list[Any]:
    """Of a product: handle, both operations, m, n, k, alpha, a, b, beta, c."""
    return [c_void_p, *[c_int] * 5, POINTER(real), *_MATRIX * 2, POINTER(real), *_MATRIX]


_DECLARED: dict[str, list[Any]] = {
    "cublasGetStatusString": [c_int],
    "cublasCreate_v2": [POINTER(c_void_p)],
    "cublasSetStream_v2": [c_void_p, c_void_p],
    "cublasSetWorkspace_v2": [c_void_p, c_void_p, c_size_t],
    "cublasSetMathMode": [c_void_p, c_int],
    "cublasSgemm_v2": _arguments(c_float),
    "cublasDgemm_v2": _arguments(c_double),
}
_GEMM: dict[str, tuple[str, Any]] = {
    "float32": ("cublasSgemm_v2", c_float),
    "float64": ("cublasDgemm_v2", c_double),
}

tf32 = False  # whether float32 products may round their factors; see set_tf32


def set_tf32(allowed: bool) -> None:
    """Whether float32 products go through cuBLAS's TF32 from now on; see spec."""
    global tf32
    if allowed and device.compute_capability() < TF32_FROM:
        raise MinaeError(
            f"--tf32 needs a GPU of sm_{TF32_FROM} or newer, found one of "
            f"sm_{device.compute_capability()}: leave it out"
        )
    tf32 = allowed


def matmul(
    a: Array, b: Array, *, out: Array, transpose_a: bool = False, transpose_b: bool = False
) -> None:
    """out (M, R) = op(a) (M, Q) @ op(b) (Q, R), in true float32 unless set_tf32 allows less."""
    M, R = out.shape
    Q = a.shape[0] if transpose_a else a.shape[1]
    a, b = contiguous("dense.a", a), contiguous("dense.b", b)
    name, real = _GEMM[out.dtype.name]
    one, zero = real(1), real(0)  # read by the host during the call
    _call(
        name,
        _handle(tf32),
        _TRANSPOSED if transpose_b else _AS_IT_IS,
        _TRANSPOSED if transpose_a else _AS_IT_IS,
        *(R, M, Q),
        ctypes.byref(one),
        *(_pointer(b), b.shape[1]),
        *(_pointer(a), a.shape[1]),
        ctypes.byref(zero),
        *(_pointer(out), R),
    )


@cache
def _handle(tf32: bool) -> c_void_p:
    """cuBLAS's handle on the backend's stream, in one of both modes."""
    handle = c_void_p()
    _call("cublasCreate_v2", ctypes.byref(handle))
    _call("cublasSetStream_v2", handle, device.stream())
    _call("cublasSetWorkspace_v2", handle, _pointer(_workspace()), WORKSPACE)
    _call("cublasSetMathMode", handle, _TF32 if tf32 else _FLOAT32)
    return handle


@cache
def _workspace() -> Array:
    """One for both handles, whose products follow each other on one stream."""
    return device.empty((WORKSPACE,), np.uint8)


def _call(name: str, *arguments: Any) -> None:
    status = _function(name)(*arguments)
    if status != 0:
        reason = _function("cublasGetStatusString")(status).decode()
        raise MinaeError(f"cuBLAS fails in {name}: {reason} (status {status})")


@cache
def _function(name: str) -> Any:
    function = getattr(device.cublas(), name)
    function.argtypes = _DECLARED[name]
    function.restype = c_char_p if name == "cublasGetStatusString" else c_int
    return function


def _pointer(x: Any) -> int:
    return int(x.data.ptr)
