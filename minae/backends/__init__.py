"""Backends by name. Nothing of a backend's library is imported until that backend is asked for."""

import ctypes
import importlib
import importlib.util
import sys
from typing import cast

from minae.backends.spec import Backend
from minae.errors import MinaeError

PACKAGES = {
    "cupy": "minae.backends.gpu_cupy",
    "numba": "minae.backends.cpu_numba",
    "numpy": "minae.backends.cpu_numpy",
}


def get_backend(name: str = "auto") -> Backend:
    """The backend of this name; "auto" takes cupy when a GPU is there, then numba, then numpy.

    "auto" is silent where there is no GPU, and says why on stderr where one cannot be used.

    Raises MinaeError when the name is unknown or what the backend needs is missing.
    """
    if name == "auto":
        return get_backend(_best())
    if name not in PACKAGES:
        raise MinaeError(
            f"unknown backend {name!r}; choose one of auto, {', '.join(sorted(PACKAGES))}"
        )
    if name == "cupy":
        _require_gpu()
    if name == "numba" and importlib.util.find_spec("numba") is None:
        raise MinaeError("backend 'numba' needs the package numba: pip install numba")
    return cast(Backend, importlib.import_module(PACKAGES[name]))


def _best() -> str:
    problem = _gpu_problem()
    if problem is None:
        return "cupy"
    if _devices() > 0:
        print(f"minae: a GPU is there but cannot be used: {problem}", file=sys.stderr)
    return "numba" if importlib.util.find_spec("numba") else "numpy"


def _devices() -> int:
    """GPUs that the NVIDIA driver knows, 0 without a driver; needs no CuPy."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _gpu_problem() -> str | None:
    """Why the cupy backend cannot run here, with the remedy; None if it can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed: pip install 'minae[cuda12]' or 'minae[cuda13]'"
    try:
        import cupy

        runtime = cupy.cuda.runtime
        built, driver = runtime.runtimeGetVersion(), runtime.driverGetVersion()
    except Exception as error:  # CuPy raises many kinds where a library is missing
        return f"CuPy does not load ({_first_line(error)}); install it anew: {_install(12)}"
    if driver == 0:
        return "no NVIDIA driver was found; install one, or use --backend numba"
    if driver // 1000 < built // 1000:
        return (
            f"CuPy is built for CUDA {built // 1000}, but the driver goes up to CUDA "
            f"{driver // 1000}.{driver % 1000 // 10}: update the driver, or pip uninstall "
            f"cupy-cuda{built // 1000}x and {_install(driver // 1000)}"
        )
    try:
        devices = runtime.getDeviceCount()
    except Exception as error:
        return f"CuPy finds no usable GPU ({_first_line(error)}); use --backend numba"
    if devices == 0:
        return "no NVIDIA GPU was found; use --backend numba"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        return (
            f"NVRTC, CUDA's compiler, is missing ({_first_line(error)}): {_install(built // 1000)}"
        )
    return None


def _install(cuda: int) -> str:
    return f"pip install 'minae[cuda{cuda}]'"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _require_gpu() -> None:
    problem = _gpu_problem()
    if problem is not None:
        raise MinaeError(f"backend 'cupy' cannot run here: {problem}")
