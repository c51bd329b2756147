"""All that touches CuPy: arrays on the device, compiling and launching kernels, CUDA graphs.

Everything runs on one stream, so what is queued first is done first, and nothing here waits for the
device but `to_host`. Kernels are the functions of `kernels/*.cu`, compiled by NVRTC at their first
use, once for each dtype, and kept on disk by CuPy. All memory comes from CuPy's pool.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError, first_sentence

KERNELS = Path(__file__).with_name("kernels")
THREADS = 256  # of a block, as in kernels/common.cuh
# Elements of an array: kernels count them in 32 bits, up to a grid of 512 blocks beyond the last
MOST = 2**31 - 2**18
C_TYPES = {
    "float32": "float",
    "float64": "double",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "long long",
}

_stream = cupy.cuda.Stream(non_blocking=True)  # a stream that can be captured
_NULL = np.uint64(0)
_recording = False  # a graph, on the stream


# ------------------------------------------------------------ arrays
def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Uninitialised array on the device. Raises MinaeError where the memory does not suffice."""
    with _stream, _enough_memory(shape, dtype):
        return cupy.empty(shape, dtype)  # type: ignore[no-any-return]


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Array of zeros on the device. Raises MinaeError where the memory does not suffice."""
    with _stream, _enough_memory(shape, dtype):
        return cupy.zeros(shape, dtype)  # type: ignore[no-any-return]


def from_host(x: npt.NDArray[Any]) -> Array:
    """Copy of a host array, C-contiguous; the copy is queued and not waited for."""
    x = np.ascontiguousarray(x)
    with _stream, _enough_memory(x.shape, x.dtype):
        return cupy.array(x)  # type: ignore[no-any-return]


def to_host(x: Array) -> npt.NDArray[Any]:
    """Copy of a C-contiguous device array; waits for all that was queued before."""
    with _stream:
        return cupy.asnumpy(x)  # type: ignore[no-any-return]


def is_array(x: Any) -> bool:
    return isinstance(x, cupy.ndarray)


def synchronize() -> None:
    """Wait for all that was queued."""
    _stream.synchronize()


def stream() -> int:
    """The address of the stream that all is queued on."""
    return int(_stream.ptr)


def compute_capability() -> int:
    """That of the card, 90 for sm_90."""
    return int(cupy.cuda.Device().compute_capability)


@cache
def cublas() -> Any:
    """The C library cuBLAS, that which CuPy loads. Raises MinaeError if there is none."""
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    name = f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}"
    try:
        cupy.cuda.cublas  # noqa: B018  asked for it, CuPy searches for the library and loads it
        return ctypes.CDLL(name)
    except (ImportError, OSError) as error:
        raise MinaeError(
            f"cuBLAS is missing ({first_sentence(error)}): pip install 'minae[cuda{major}]'"
        ) from error


def milliseconds(step: Callable[[], object], steps: int) -> float:
    """Time of a step by CUDA events around so many."""
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record(_stream)
    for _ in range(steps):
        step()
    end.record(_stream)
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end)) / steps


def name() -> str:
    """The card's name and its memory."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    text = properties["name"]
    text = text.decode() if isinstance(text, bytes) else text
    return f"{text} ({properties['totalGlobalMem'] / 2**30:.0f} GiB)"


@contextmanager
def _enough_memory(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[None]:
    if _recording:  # CuPy would give memory that it gives away again while the graph writes to it
        raise RuntimeError("an allocation is not permitted when stream is capturing")
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError:
        wanted = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize / 2**20
        free, total = (size / 2**20 for size in cupy.cuda.runtime.memGetInfo())
        raise MinaeError(
            f"the GPU has too little memory: {wanted:,.0f} MiB wanted, {free:,.0f} of "
            f"{total:,.0f} MiB free; try a smaller --batch-size, or --backend numba"
        ) from None


# ------------------------------------------------------------ kernels
def launch(
    file: str,
    kernel: str,
    dtype: npt.DTypeLike,
    blocks: int | tuple[int, ...],
    *arguments: Any,
    threads: tuple[int, ...] = (THREADS,),
) -> None:
    """Queue a kernel of kernels/<file>.cu, compiled for `real` of this dtype.

    Arguments are passed as they are declared: device arrays and None as pointers, an int as int, a
    float as real, and a NumPy number as what it is (np.float64 as double, np.int64 as long long).
    A grid of no blocks, for arrays of no elements, does nothing.
    """
    dtype = np.dtype(dtype)
    grid = (blocks,) if isinstance(blocks, int) else blocks
    if 0 in grid:
        return
    function = _function(file, kernel, dtype)
    packed = tuple(_argument(a, dtype) for a in arguments)
    with _stream:
        function(grid, threads, packed)


def for_each(n: int) -> int:
    """Blocks of a kernel in which one thread serves one of n elements."""
    return -(-n // THREADS)


def source(file: str) -> str:
    """Text of kernels/<file>.cu with its includes put in place, as the compilers get it.

    In ASCII, without the signs in comments: CuPy writes it to a file in the locale's encoding.
    """
    text = (KERNELS / f"{file}.cu").read_text(encoding="utf-8")
    for header in KERNELS.glob("*.cuh"):
        include = f'#include "{header.name}"\n'
        text = text.replace(include, header.read_text(encoding="utf-8"))
    return text.encode("ascii", "ignore").decode()


def options(dtype: npt.DTypeLike) -> tuple[str, ...]:
    """What the compiler is told beside the source."""
    return ("--std=c++17", f"-Dreal={C_TYPES[np.dtype(dtype).name]}")


@cache
def _function(file: str, kernel: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    return _module(file, dtype).get_function(kernel)  # type: ignore[no-any-return]


@cache
def _module(file: str, dtype: np.dtype[Any]) -> Any:
    return cupy.RawModule(code=source(file), options=options(dtype), backend="nvrtc")


def _argument(a: Any, dtype: np.dtype[Any]) -> Any:
    if a is None:
        return _NULL
    if isinstance(a, bool | int):
        return np.int32(a)
    if isinstance(a, float) and not isinstance(a, np.floating):
        return dtype.type(a)
    if is_array(a) and a.size > MOST:
        raise MinaeError(
            f"arrays of the cupy backend hold up to {MOST:,} elements, found shape {a.shape}; "
            "try a smaller --batch-size"
        )
    return a


# ------------------------------------------------------------ graphs
def record(run: Callable[[], None], keep: Any) -> Callable[[], None]:
    """Capture what `run` queues as a CUDA graph, without doing it; returns what replays it.

    `keep` is held as long as the graph: the memory that its kernels use. `run` must allocate
    nothing and must not wait for the device, or the recording ends with a RuntimeError.
    """
    global _recording
    with _stream:
        _stream.begin_capture()
        _recording = True
        try:
            run()
        except BaseException:
            with suppress(Exception):  # CUDA ends a broken capture with an error of its own
                _stream.end_capture()
            raise
        finally:
            _recording = False
        graph = _stream.end_capture()

    def replay(keep: Any = keep) -> None:
        graph.launch(_stream)

    return replay
