"""The CuPy backend as the tests see it: on the GPU there is, else on the processor.

`backend()` is the backend itself, whose arrays are the device's. `OnHost` puts it in the place of
a CPU backend: its operations take NumPy arrays, bring their memory to the device as it is, margins
and strides included, and back. MINAE_EMULATE=1 asks for the processor where a GPU is;
MINAE_WITHOUT_POOL=1 makes each array on the GPU an allocation of its own, for compute-sanitizer.
"""

import importlib
import os
import sys
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType, SimpleNamespace
from typing import Any

import cublas_on_host
import cupy_on_host
import numpy as np
import pytest

from minae import backends
from minae.backends.spec import OPERATIONS

NO_COMPILER = "g++ is missing: it builds the CUDA kernels for the processor where no GPU is"


CPU_BACKENDS = ("numpy", "numba")


@cache
def has_gpu() -> bool:
    """Whether the tests run on a GPU."""
    return not os.environ.get("MINAE_EMULATE") and backends._gpu_problem() is None


def problem() -> str | None:
    """Why the backend cannot be tested here."""
    return None if has_gpu() or cupy_on_host.COMPILER else NO_COMPILER


@cache
def backend() -> ModuleType:
    """minae.backends.gpu_cupy on the GPU, or with the stand-in for CuPy."""
    if not has_gpu():
        there = sys.modules.get("cupy", ...)
        sys.modules["cupy"] = cupy_on_host.module()
        try:
            found = importlib.import_module("minae.backends.gpu_cupy")
            by_name = SimpleNamespace(CDLL=cublas_on_host.library)
            importlib.import_module("minae.backends.gpu_cupy.device").ctypes = by_name
            return found
        finally:
            if there is ...:
                del sys.modules["cupy"]
            else:
                sys.modules["cupy"] = there  # type: ignore[assignment]
    found = importlib.import_module("minae.backends.gpu_cupy")
    if os.environ.get("MINAE_WITHOUT_POOL"):
        importlib.import_module("cupy").cuda.set_allocator(None)
    return found


def get_backend(name: str) -> Any:
    """The backend of this name; "cupy" is never refused."""
    return backend() if name == "cupy" else backends.get_backend(name)


def device() -> Any:
    """The backend's device.py, which holds CuPy or what stands in for it."""
    return importlib.import_module(f"{backend().__name__}.device")


EMULATED = pytest.param(
    "cupy", marks=pytest.mark.skipif(problem() is not None, reason=str(problem()))
)
BACKENDS = (*CPU_BACKENDS, "cupy") if has_gpu() else CPU_BACKENDS  # with arrays of full size
ALL_BACKENDS = (*CPU_BACKENDS, EMULATED)  # with small ones


class OnHost:
    """The operations of the backend, on NumPy arrays."""

    def __init__(self, ops: Any) -> None:
        self.name = ops.name
        for name in OPERATIONS:
            setattr(self, name, on_host(getattr(ops, name)))


def on_host(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def run(*arguments: Any, **keywords: Any) -> Any:
        memories: dict[int, tuple[Any, Any]] = {}

        def moved(a: Any) -> Any:
            return on_device(a, memories) if isinstance(a, np.ndarray) else a

        seen = {id(a): moved(a) for a in (*arguments, *keywords.values())}  # one array stays one
        returned = operation(
            *(seen[id(a)] for a in arguments), **{n: seen[id(a)] for n, a in keywords.items()}
        )
        for host, on_it in memories.values():
            if host.flags.writeable:
                host[...] = device().to_host(on_it).view(host.dtype)
        return returned

    return run


def on_device(x: np.ndarray, memories: dict[int, tuple[Any, Any]]) -> Any:
    """x on the device: a view of all the memory that x is a view of."""
    base = x if x.base is None else x.base
    if id(base) not in memories:
        flat = base.ravel(order="K")  # of an owner of memory a view
        assert flat.size == 0 or np.shares_memory(flat, base)
        memories[id(base)] = flat, device().from_host(flat.view(np.uint8))
    on_it = memories[id(base)][1]
    offset = x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return device().cupy.ndarray(x.shape, x.dtype, on_it.data + offset, x.strides)
