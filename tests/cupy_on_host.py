"""A stand-in for CuPy, for machines without a GPU: as much of it as minae's device.py asks for.

Kernels are built from the same source by a C++ compiler (cuda_on_host.h) and run on the processor
with the grid and the arguments that the backend gives. It is stricter than a GPU: an argument must
have the type that the kernel declares, memory is full of NaN until it is written, writing or
reading beyond an array meets a margin of NaN, an array is never turned into NumPy's in silence, and
while a graph is captured nothing may be copied to the host or waited for. (device.py itself refuses
to allocate then.)
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import types
import weakref
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

HEADER = Path(__file__).with_name("cuda_on_host.h")
COMPILER = shutil.which("g++")
BUILDS = Path(tempfile.gettempdir()) / f"minae-cuda-on-host-{os.getuid()}"
MARGIN = 64  # bytes on either side of an allocation, full of NaN
ALIGNED = 512  # bytes, as CuPy's pool does

KERNEL = re.compile(r"CUDA_KERNEL void\s+(?:__launch_bounds__\(\d+\)\s*)?(\w+)\(([^)]*)\)")
SCALARS = {"int": "i4", "unsigned int": "u4", "long long": "i8", "double": "f8", "float": "f4"}
POINTED = SCALARS | {"unsigned char": "u1", "unsigned short": "u2", "unsigned long long": "u8"}


class State:
    """What the tests set and count."""

    capturing: list[Callable[[], None]] | None = None
    streams: tuple["Stream", ...] = ()  # those entered, the current one last
    backwards = False  # threads and blocks in reverse order
    launches = allocations = synchronizations = 0
    memory = 2**40  # bytes there are
    capability = "90"
    living: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()  # allocations
    capturable: ClassVar[set[int]] = set()  # addresses of streams that are not the default one


# ------------------------------------------------------------ memory
class OutOfMemoryError(MemoryError):
    pass


class _Memory:
    """An allocation amid its margins."""

    def __init__(self, nbytes: int) -> None:
        if nbytes > State.memory:
            raise OutOfMemoryError(f"out of memory allocating {nbytes} bytes")
        State.allocations += 1
        self.nbytes = nbytes
        self.bytes = np.full(nbytes + 2 * MARGIN + ALIGNED, 0xFF, np.uint8)
        self.begin = -(self.bytes.ctypes.data + MARGIN) % ALIGNED
        State.living.add(self)

    def check(self) -> None:
        before, after = np.split(
            self.bytes, [self.begin + MARGIN, self.begin + MARGIN + self.nbytes]
        )[::2]
        assert (before == 0xFF).all() and (after == 0xFF).all(), "a kernel wrote beyond an array"


class MemoryPointer:
    """A place in an allocation."""

    def __init__(self, memory: _Memory, offset: int = 0) -> None:
        self.memory, self.offset = memory, offset

    @property
    def ptr(self) -> int:
        return self.memory.bytes.ctypes.data + self.memory.begin + MARGIN + self.offset

    def __add__(self, offset: int) -> "MemoryPointer":
        return MemoryPointer(self.memory, self.offset + offset)


class ndarray:
    """An array on the device: its shape, views of it, and no arithmetic."""

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(dtype)
        if memptr is None:
            memptr = MemoryPointer(_Memory(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize))
        self.data = memptr
        begin = memptr.memory.begin + MARGIN + memptr.offset
        # a view that may reach back, as one with negative strides does
        first = np.ndarray((1,), dtype, memptr.memory.bytes, begin)
        strides = np.empty(shape, dtype).strides if strides is None else strides
        self._values = np.lib.stride_tricks.as_strided(first, shape, strides)

    def _view(self, values: Any) -> "ndarray":
        offset = values.__array_interface__["data"][0] - self.data.ptr
        return ndarray(values.shape, values.dtype, self.data + offset, values.strides)

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    strides = property(lambda self: self._values.strides)
    size = property(lambda self: self._values.size)
    ndim = property(lambda self: self._values.ndim)
    nbytes = property(lambda self: self._values.nbytes)
    flags = property(lambda self: self._values.flags)
    T = property(lambda self: self._view(self._values.T))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> "ndarray":
        values = self._values[key if isinstance(key, tuple) else (key,)]
        assert isinstance(values, np.ndarray) and np.shares_memory(values, self._values)
        return self._view(values)

    def reshape(self, *shape: Any) -> "ndarray":
        values = self._values.reshape(*shape)
        assert not values.size or np.shares_memory(values, self._values), "reshape makes a copy"
        return self._view(values)

    def transpose(self, *axes: Any) -> "ndarray":
        return self._view(self._values.transpose(*axes))

    def view(self, dtype: Any) -> "ndarray":
        return self._view(self._values.view(dtype))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


def refuse_while_capturing(what: str) -> None:
    if State.capturing is not None:
        raise RuntimeError(f"{what} is not permitted when stream is capturing")


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    x = ndarray(shape, dtype)
    x._values[...] = 0
    return x


def array(host: Any) -> ndarray:
    x = ndarray(host.shape, host.dtype)
    x._values[...] = host
    return x


def asnumpy(x: ndarray) -> Any:
    refuse_while_capturing("a copy to the host")
    assert x.flags.c_contiguous, "CuPy would copy this array first, by a kernel of its own"
    State.synchronizations += 1
    return x._values.copy()


# ------------------------------------------------------------ streams and graphs
class Stream:
    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking
        if non_blocking:
            State.capturable.add(self.ptr)

    ptr = property(id)

    def __enter__(self) -> "Stream":
        State.streams += (self,)
        return self

    def __exit__(self, *_: Any) -> None:
        State.streams = State.streams[:-1]

    def begin_capture(self) -> None:
        assert self.non_blocking, "the default stream cannot be captured"
        assert State.capturing is None
        State.capturing = []

    def end_capture(self) -> "Graph":
        assert State.capturing is not None
        graph, State.capturing = Graph(State.capturing), None
        return graph

    def synchronize(self) -> None:
        refuse_while_capturing("waiting")
        State.synchronizations += 1


class Event:
    def record(self, stream: Stream) -> None:
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        State.synchronizations += 1


class Graph:
    """What was queued during a capture, with the arguments of then."""

    def __init__(self, work: list[Callable[[], None]]) -> None:
        self.work = work

    def launch(self, stream: Stream) -> None:
        for run in self.work:
            run()


# ------------------------------------------------------------ kernels
class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...], backend: str) -> None:
        assert backend == "nvrtc"
        self.code = code
        self.options = tuple(option.replace("--std", "-std") for option in options)

    @cached_property
    def signatures(self) -> dict[str, list[str]]:
        """Types of the parameters of each kernel."""
        read = [COMPILER, "-E", "-P", "-x", "c++", "-D__global__=CUDA_KERNEL", *self.options, "-"]
        text = subprocess.run(read, input=self.code, capture_output=True, text=True, check=True)
        return {
            name: [re.sub(r"\s*\w+$", "", p.strip()) for p in parameters.split(",")]
            for name, parameters in KERNEL.findall(text.stdout)
        }

    @cached_property
    def library(self) -> ctypes.CDLL:
        return ctypes.CDLL(str(self.build()))

    def build(self) -> Path:
        """The shared library, built once for each source and kept."""
        entries = "\n".join(f"ENTRY({name})" for name in self.signatures)
        text = f'#include "{HEADER}"\n#line 1 "kernel.cu"\n{self.code}\n{entries}\n'
        command = [COMPILER, "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off", *self.options]
        key = repr((text, command, HEADER.read_text()))
        built = BUILDS / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.so"
        if not built.exists():
            BUILDS.mkdir(mode=0o700, exist_ok=True)
            part = built.with_suffix(f".{os.getpid()}")
            run = [*command, "-x", "c++", "-", "-o", str(part)]
            done = subprocess.run(run, input=text, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            part.rename(built)
        return built

    def get_function(self, name: str) -> Callable[..., None]:
        types_ = self.signatures[name]
        function = getattr(self.library, f"launch_{name}")
        function.restype = ctypes.c_char_p

        def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]):
            assert State.streams and State.streams[-1].non_blocking, "not on the backend's stream"
            assert len(arguments) == len(types_), f"{name} takes {types_}, found {arguments}"
            values = [value_of(name, t, a) for t, a in zip(types_, arguments, strict=True)]
            sizes = [(ctypes.c_uint * 3)(*(*size, 1, 1)[:3]) for size in (grid, block)]
            assert all(n >= 1 for n in grid) and max((*grid, 1, 1)[1:3]) < 2**16, f"grid {grid}"
            pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))

            def run() -> None:
                State.launches += 1
                wrong = function(*sizes, pointers, State.backwards)
                assert wrong is None, f"{name}: {wrong.decode()}"
                for a in arguments:
                    if isinstance(a, ndarray):
                        a.data.memory.check()

            run.keep = values, arguments  # type: ignore[attr-defined]
            if State.capturing is None:
                run()
            else:
                State.capturing.append(run)

        return launch


def value_of(kernel: str, declared: str, argument: Any) -> Any:
    """The argument in memory, as an array of one; AssertionError if it is not what is declared."""
    wanted = declared.removeprefix("const ")
    if wanted.endswith("*"):
        pointed = np.dtype(POINTED[wanted.removesuffix("*").strip()])
        if isinstance(argument, ndarray):
            moved = kernel.startswith("copy_") and argument.dtype.itemsize == pointed.itemsize
            assert moved or argument.dtype == pointed, f"{kernel}: {declared}, {argument.dtype}"
            return np.array([argument.data.ptr], np.uint64)
        assert type(argument) is np.uint64 and argument == 0, f"{kernel}: {declared}, {argument!r}"
        return np.array([0], np.uint64)
    found = getattr(argument, "dtype", None)
    assert found == np.dtype(SCALARS[wanted]), f"{kernel}: {declared}, found {argument!r}"
    return np.array([argument])


# ------------------------------------------------------------ the module
def module() -> types.ModuleType:
    """What `import cupy` gives where this stands in."""
    cupy = types.ModuleType("cupy")
    for thing in (ndarray, empty, zeros, array, asnumpy, RawModule):
        setattr(cupy, thing.__name__, thing)
    properties = {"name": b"a processor in place of a GPU", "totalGlobalMem": State.memory}
    cupy.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        Stream=Stream,
        Event=Event,
        get_elapsed_time=lambda a, b: 1e3 * (b.seconds - a.seconds),
        Device=lambda: types.SimpleNamespace(id=0, compute_capability=State.capability),
        cublas=types.SimpleNamespace(),  # asked for it, CuPy loads the library
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (12, 9)),
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda device: properties,
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 12090,
            memGetInfo=lambda: (State.memory, State.memory),
        ),
    )
    return cupy
