"""Backends by name. Nothing of a backend's library is imported until that backend is asked for."""

import importlib
import importlib.util
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
    if importlib.util.find_spec(PACKAGES["cupy"]) and _gpu_problem() is None:
        return "cupy"
    return "numba" if importlib.util.find_spec("numba") else "numpy"


def _gpu_problem() -> str | None:
    """Why the cupy backend cannot run here, with the remedy; None if it can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed: pip install 'minae[cuda12]' or 'minae[cuda13]'"
    try:
        import cupy

        devices = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy raises many kinds: a missing driver, library, or device
        return f"CuPy finds no usable GPU ({str(error).splitlines()[0]}); use --backend numba"
    return None if devices else "no NVIDIA GPU was found; use --backend numba"


def _require_gpu() -> None:
    problem = _gpu_problem()
    if problem is None and importlib.util.find_spec(PACKAGES["cupy"]) is None:
        problem = "this version of minae has none yet; use --backend numba"
    if problem is not None:
        raise MinaeError(f"backend 'cupy' cannot run here: {problem}")
