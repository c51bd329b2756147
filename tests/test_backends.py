"""The backends as packages: equal signatures, nothing imported early, errors with a remedy."""

import ast
import importlib.machinery
import inspect
import pathlib
import subprocess
import sys
import types

import pytest

import minae
from minae.backends.spec import OPERATIONS, Backend

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


def fake_cupy(devices):
    """A module that stands in for CuPy; `devices` says how many GPUs there are, or raises."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=devices))
    return cupy


def no_driver():
    raise RuntimeError("cudaErrorInsufficientDriver: the driver is too old\nmore lines")


@pytest.mark.parametrize(
    ("cupy", "remedy"),
    [
        (None, r"CuPy is not installed: pip install 'minae\[cuda12\]'"),
        (fake_cupy(lambda: 0), "no NVIDIA GPU was found; use --backend numba"),
        (fake_cupy(no_driver), "cudaErrorInsufficientDriver.*too old.*use --backend numba"),
    ],
    ids=["without CuPy", "without a GPU", "without a driver"],
)
def test_cupy_that_cannot_run(monkeypatch, cupy, remedy):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(minae.MinaeError, match=remedy) as error:
        minae.get_backend("cupy")
    assert "\n" not in str(error.value)
    assert minae.get_backend("auto").name == "numba"


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(minae.MinaeError, match="pip install numba"):
        minae.get_backend("numba")
    assert minae.get_backend("auto").name == "numpy"
    assert minae.get_backend().name == "numpy"
