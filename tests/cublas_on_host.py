"""A stand-in for cuBLAS: as much of its C interface as minae's blas.py calls, in NumPy.

Each function has an address that is called with the types that blas.py declares, as those of the
library are. It is stricter than cuBLAS: matrices must lie within one allocation, a product needs a
handle with a stream and a workspace of its own, and while a graph is captured nothing may be made
or set. What breaks a rule is refused with a status; cublasGetStatusString says which rule it was.
"""

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_double, c_float, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from cupy_on_host import MARGIN, State

INVALID_VALUE = 7
DEFAULT, PEDANTIC, TF32 = 0, 2, 3


@dataclass
class Handle:
    stream: int | None = None
    workspace: int | None = None
    mode: int = DEFAULT


@cache
def library(name: str) -> "Library":
    """In the place of ctypes.CDLL, which finds a library by the name that it was loaded under."""
    if name != "libcublas.so.12":
        raise OSError(f"{name}: cannot open shared object file")
    return Library()


class Refused(Exception):
    """A rule that a call breaks."""


class Library:
    """What ctypes.CDLL gives, and a list of the calls."""

    def __init__(self) -> None:
        self.handles: dict[int, Handle] = {}
        self.calls: list[str] = []
        self.wrong = ctypes.create_string_buffer(1000)
        self._kept: list[Any] = []  # what is called by its address alone
        matrix = [c_void_p, c_int]
        products = [c_void_p, *[c_int] * 5]
        for name, function, types in (
            ("cublasCreate_v2", self.create, [POINTER(c_void_p)]),
            ("cublasSetStream_v2", self.set_stream, [c_void_p, c_void_p]),
            ("cublasSetWorkspace_v2", self.set_workspace, [c_void_p, c_void_p, c_size_t]),
            ("cublasSetMathMode", self.set_math_mode, [c_void_p, c_int]),
            *(
                (
                    name,
                    partial(self.gemm, real),
                    [*products, POINTER(real), *matrix, *matrix, POINTER(real), *matrix],
                )
                for name, real in (("cublasSgemm_v2", c_float), ("cublasDgemm_v2", c_double))
            ),
        ):
            setattr(self, name, self.at_an_address(name, function, types))
        text = ctypes.CFUNCTYPE(c_void_p, c_int)(lambda status: ctypes.addressof(self.wrong))
        self._kept.append(text)
        self.cublasGetStatusString = by_address(text)

    def at_an_address(self, name: str, function: Callable[..., None], types: list[Any]) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            try:
                function(*arguments)
            except Exception as error:  # none can be raised through C
                self.wrong.value = str(error).encode()
                return INVALID_VALUE
            return 0

        self._kept.append(ctypes.CFUNCTYPE(c_int, *types)(call))
        return by_address(self._kept[-1])

    # ---------------------------------------------------------------- the handle
    def create(self, out: Any) -> None:
        demand(State.capturing is None, "a handle is made while a stream is captured")
        number = 2**40 + len(self.handles)  # beyond 32 bits, as an address is
        self.handles[number] = Handle()
        out[0] = number

    def set_stream(self, handle: int, stream: int) -> None:
        demand(State.capturing is None, "a stream is set while it is captured")
        self.handles[handle] = Handle(stream, None, self.handles[handle].mode)

    def set_workspace(self, handle: int, address: int, size: int) -> None:
        demand(State.capturing is None, "a workspace is set while a stream is captured")
        demand(address % 256 == 0, "the workspace is not aligned")
        within_one_allocation(address, size)
        self.handles[handle].workspace = address

    def set_math_mode(self, handle: int, mode: int) -> None:
        demand(mode in (DEFAULT, PEDANTIC, TF32), f"math mode {mode}")
        self.handles[handle].mode = mode

    # ---------------------------------------------------------------- products
    def gemm(
        self,
        real: Any,
        handle: int,
        transpose_a: int,
        transpose_b: int,
        m: int,
        n: int,
        k: int,
        alpha: Any,
        a: int,
        lda: int,
        b: int,
        ldb: int,
        beta: Any,
        c: int,
        ldc: int,
    ) -> None:
        """c (m, n) = alpha op(a) (m, k) op(b) (k, n) + beta c, all column by column."""
        has = self.handles[handle]
        demand(has.stream in State.capturable, "the handle is on the default stream")
        demand(has.workspace is not None, "cuBLAS would allocate a workspace")
        x = columns(real, a, *((k, m) if transpose_a else (m, k)), lda)
        y = columns(real, b, *((n, k) if transpose_b else (k, n)), ldb)
        out = columns(real, c, m, n, ldc)
        written = allocation(c)
        alpha, beta = alpha[0], beta[0]  # by value also in a graph

        def run() -> None:
            left, right = (x.T if transpose_a else x), (y.T if transpose_b else y)
            if has.mode == TF32 and real is c_float:
                left, right = to_tf32(left), to_tf32(right)
            product = alpha * (left @ right)
            out[...] = product + beta * out if beta else product
            written.check()

        if State.capturing is None:
            run()
        else:
            State.capturing.append(run)


def by_address(function: Any) -> Any:
    """A function as ctypes gives one of a library: without a word on its arguments."""
    return ctypes.CFUNCTYPE(c_int)(ctypes.cast(function, c_void_p).value)


def demand(holds: bool, rule: str) -> None:
    if not holds:
        raise Refused(rule)


def columns(real: Any, address: int, rows: int, count: int, ld: int) -> Any:
    """The matrix (rows, count) that begins at this address, ld numbers from column to column."""
    demand(ld >= max(1, rows), f"leading dimension {ld} of {rows} rows")
    size = ctypes.sizeof(real) * (ld * (count - 1) + rows)
    within_one_allocation(address, size)
    flat = np.ctypeslib.as_array(ctypes.cast(address, POINTER(real)), (ld * (count - 1) + rows,))
    step = flat.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, count), (step, ld * step))


def allocation(address: int) -> Any:
    """The memory that holds this address."""
    for memory in State.living:
        begin = memory.bytes.ctypes.data + memory.begin + MARGIN
        if begin <= address < begin + memory.nbytes:
            return memory
    raise Refused(f"{address:#x} lies in no allocation")


def within_one_allocation(address: int, size: int) -> None:
    memory = allocation(address)
    end = memory.bytes.ctypes.data + memory.begin + MARGIN + memory.nbytes
    demand(address + size <= end, f"{address + size - end} bytes beyond an array")


def to_tf32(x: Any) -> Any:
    """float32 rounded to 10 bits after the point, ties to even."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = bits + np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1))
    return (rounded & np.uint32(0xFFFFE000)).view(np.float32)
