"""The backends as packages: equal signatures, nothing imported early, errors with a remedy."""

import ast
import importlib.machinery
import inspect
import os
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import minae
from minae.backends.cpu_numpy import arrays
from minae.backends.spec import OPERATIONS, Backend
from minae.train import main

ROOT = pathlib.Path(minae.__file__).parents[1]
HEAVY = {"numba", "cupy", "torch", "matplotlib"}


# ------------------------------------------------------------ signatures
@pytest.mark.parametrize("name", OPERATIONS)
def test_signature_is_that_of_the_contract(package, name):
    """Names, order, kinds, defaults and annotations."""
    wanted = inspect.signature(getattr(Backend, name))
    wanted = wanted.replace(parameters=list(wanted.parameters.values())[1:])  # without self
    assert inspect.signature(getattr(package, name)) == wanted


def test_a_backend_exports_the_operations_and_its_name_and_nothing_else(package):
    exported = {*OPERATIONS, "name"}
    public = {n for n, x in vars(package).items() if n[0] != "_" and not inspect.ismodule(x)}
    assert set(package.__all__) == exported
    assert public == exported
    assert package.name == package.__name__.rpartition("_")[2]


@pytest.mark.parametrize("size", [1, 7, 300_000])
def test_arrays_in_host_memory_begin_at_a_cache_line(size):
    for x in (
        arrays.empty((size, 3), np.float32),
        arrays.zeros((size, 3), np.float64),
        arrays.scratch("test.size", (size,), np.uint8),
        arrays.scratch("test.size", (2 * size,), np.int64),
    ):
        assert x.ctypes.data % 64 == 0
        assert x.flags.c_contiguous and x.flags.writeable


# ------------------------------------------------------------ imports
@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import minae", set()),
        ("import minae; minae.get_backend('numpy')", set()),
        ("import minae; minae.get_backend('numba')", {"numba"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_asked_for(statement, allowed):
    code = f"{statement}; import sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == allowed


def test_no_autodiff_and_no_oracle_in_the_library():
    files = list((ROOT / "minae").rglob("*.py"))
    assert len(files) > 40
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"torch", "jax", "autograd", "tensorflow", "reference"}, file


# ------------------------------------------------------------ get_backend
def test_unknown_backend():
    with pytest.raises(minae.MinaeError, match=r"'cuda'.*auto, cupy, numba, numpy"):
        minae.get_backend("cuda")


def raising(message):
    def function(*_):
        raise RuntimeError(message)

    return function


def fake_cupy(built=12090, driver=12080, devices=lambda: 1, nvrtc=lambda: (12, 9)):
    """A module that stands in for CuPy: the CUDA it is built for, the driver's, the GPUs."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    runtime = types.SimpleNamespace(
        runtimeGetVersion=built if callable(built) else lambda: built,
        driverGetVersion=lambda: driver,
        getDeviceCount=devices,
    )
    compiler = types.SimpleNamespace(getVersion=nvrtc)
    cupy.cuda = types.SimpleNamespace(runtime=runtime, nvrtc=compiler)
    return cupy


PROBLEMS = {
    "without CuPy": (None, r"CuPy is not installed: pip install 'minae\[cuda12\]'"),
    "CuPy broken": (
        fake_cupy(built=raising("libcudart.so.12: cannot open\nmore")),
        r"CuPy does not load \(libcudart.so.12: cannot open\); .*pip install 'minae\[cuda12\]'",
    ),
    "without a driver": (fake_cupy(driver=0), "no NVIDIA driver was found; install one"),
    "driver too old": (
        fake_cupy(built=13000, driver=12040),
        r"CuPy is built for CUDA 13, but the driver goes up to CUDA 12\.4: .*minae\[cuda12\]",
    ),
    "without a GPU": (
        fake_cupy(devices=lambda: 0),
        "no NVIDIA GPU was found; use --backend numba",
    ),
    "GPU that fails": (
        fake_cupy(devices=raising("cudaErrorECCUncorrectable: uncorrectable\nmore")),
        r"no usable GPU \(cudaErrorECCUncorrectable: uncorrectable\); use --backend numba",
    ),
    "without NVRTC": (
        fake_cupy(nvrtc=raising("libnvrtc.so.12 not found")),
        r"NVRTC, CUDA's compiler, is missing \(libnvrtc.*\): pip install 'minae\[cuda12\]'",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_cupy_that_cannot_run(monkeypatch, problem):
    cupy, remedy = PROBLEMS[problem]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(minae.MinaeError, match=remedy) as error:
        minae.get_backend("cupy")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("devices", [0, 1])
def test_auto_is_silent_only_where_there_is_no_gpu(monkeypatch, capsys, problem, devices):
    monkeypatch.setitem(sys.modules, "cupy", PROBLEMS[problem][0])
    monkeypatch.setattr(minae.backends, "_devices", lambda: devices)
    assert minae.get_backend("auto").name == "numba"
    said = capsys.readouterr().err
    assert bool(said) == bool(devices) and said.count("\n") == devices
    if devices:
        assert re.search(PROBLEMS[problem][1], said)


def test_the_command_says_in_one_sentence_why_there_is_no_gpu(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["--backend", "cupy"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minae: backend 'cupy' cannot run here: CuPy is not installed")
    assert said.count("\n") == 1


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(minae.MinaeError, match="pip install numba"):
        minae.get_backend("numba")
    assert minae.get_backend("auto").name == "numpy"
    assert minae.get_backend().name == "numpy"


def test_kernels_of_one_loop_are_kept_apart_on_disk(tmp_path):
    """Numba finds a kernel by name and line: a second process finds each, and compiles none."""
    script = """
import numpy as np
from minae import get_backend
from minae.backends.cpu_numba import activations as of_numba
numba, numpy = get_backend("numba"), get_backend("numpy")
x, b, db = np.linspace(-2, 2, 32).reshape(4, 8), np.ones(8), np.empty(8)
kernels = []
for name in ("relu", "tanh"):
    y, dx, wanted = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    numba.bias_activation_forward(x, b, name, 0.0, out=y)
    numpy.bias_activation_forward(x, b, name, 0.0, out=wanted)
    assert np.allclose(y, wanted)
    numba.bias_activation_backward(x, y, name, 0.0, dx=dx, db=db)
    numpy.bias_activation_backward(x, y, name, 0.0, dx=wanted, db=db)
    assert np.allclose(dx, wanted)
    kernels += [of_numba._FORWARD[name], of_numba._BACKWARD[name]]
print(*(sum(kernel.compiled.stats.cache_misses.values()) for kernel in kernels))
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for compiled in ("1 1 1 1", "0 0 0 0"):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == compiled, done.stderr
