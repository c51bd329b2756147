"""Products by cuBLAS: operands, order of the calls, graphs, TF32, and faults put in on purpose.

On a GPU by cuBLAS itself, else by what stands in for it (cublas_on_host.py).
"""

import ctypes
import importlib
import itertools
import json
import types
from pathlib import Path

import comparison
import cublas_on_host
import gpu
import numpy as np
import pytest
from comparison import SEEDS, Draw
from cupy_on_host import State
from examples import mnist
from operations import CASES
from test_gpu import STEPS, small, trained

import minae
from minae import train
from minae.optim import Adam
from minae.train import main

pytestmark = pytest.mark.skipif(gpu.problem() is not None, reason=str(gpu.problem()))
emulated = pytest.mark.skipif(gpu.has_gpu(), reason="of the processor in place of a GPU")
TF32 = 2.0**-10  # the relative error of a product of two factors that are rounded to 10 bits


@pytest.fixture(scope="module")
def ops():
    return gpu.backend()


@pytest.fixture
def blas(ops):
    """blas.py, which makes true float32 products again afterwards."""
    module = importlib.import_module(f"{ops.__name__}.blas")
    yield module
    module.set_tf32(False)


@pytest.fixture
def everywhere(ops, monkeypatch):
    """All products by cuBLAS."""
    dense = importlib.import_module(f"{ops.__name__}.dense")
    monkeypatch.setattr(dense, "CUBLAS_FROM", dict.fromkeys(dense.CUBLAS_FROM, 0))


def product(matmul, M, Q, R, transpose_a, transpose_b, dtype):
    """(found, wanted) of whole numbers, which every order of summation adds alike."""
    rng = np.random.default_rng(M * 100 + Q * 10 + R)
    a = rng.integers(-9, 9, (Q, M) if transpose_a else (M, Q)).astype(dtype)
    b = rng.integers(-9, 9, (R, Q) if transpose_b else (Q, R)).astype(dtype)
    x, y, out = (gpu.device().from_host(h) for h in (a, b, np.full((M, R), np.nan, dtype)))
    matmul(x, y, out=out, transpose_a=transpose_a, transpose_b=transpose_b)
    wanted = (a.T if transpose_a else a) @ (b.T if transpose_b else b)
    return gpu.device().to_host(out), wanted


# ------------------------------------------------------------ products
SHAPES = [*itertools.product((1, 2, 5), repeat=3), (16, 784, 32), (784, 16, 20)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=2)))
def test_products_of_every_shape(blas, transposed, dtype):
    for shape in SHAPES:
        np.testing.assert_array_equal(*product(blas.matmul, *shape, *transposed, dtype))


@pytest.mark.parametrize("name", ["matmul", "sparse_matmul", "sparse_weight_gradient"])
def test_operations_with_cublas(everywhere, name):
    """The suite's own cases: views, transposes and margins in memory."""
    on_host = gpu.OnHost(gpu.backend())
    for dtype in comparison.DTYPES:
        for seed in SEEDS:
            comparison.check(on_host, name, CASES[name](Draw(dtype, seed)), dtype)


@pytest.mark.parametrize("kind", ["nn", "nt", "tn", "tt"])
def test_the_rule_chooses(ops, monkeypatch, kind):
    dense = importlib.import_module(f"{ops.__name__}.dense")
    assert dense.CUBLAS_FROM.keys() == {"nn", "nt", "tn", "tt"}
    chosen = []
    monkeypatch.setattr(dense.blas, "matmul", lambda *_, **__: chosen.append("cuBLAS"))
    monkeypatch.setattr(dense, "launch", lambda *_, **__: chosen.append("own"))
    monkeypatch.setattr(dense, "CUBLAS_FROM", dict.fromkeys(dense.CUBLAS_FROM, 121) | {kind: 120})
    for transposed in itertools.product("nt", repeat=2):
        product(dense.matmul, 4, 5, 6, *(t == "t" for t in transposed), np.float32)
        assert chosen.pop() == ("cuBLAS" if "".join(transposed) == kind else "own")


# ------------------------------------------------------------ graphs
def test_twenty_steps_in_a_graph_as_on_numpy(everywhere):
    """Forward, gradients and update of two batch shapes, all products by cuBLAS."""
    for dtype, near in (("float64", 1e-9), ("float32", 1e-4)):
        runs = [
            trained(backend, dtype, small(), Adam(0.01), STEPS, 8, 50)[0]
            for backend in ("numpy", "cupy")
        ]
        np.testing.assert_allclose(runs[1], runs[0], rtol=near)


def test_a_recorded_product_is_replayed(ops, blas):
    a, b = np.random.default_rng(0).normal(size=(2, 6, 6)).astype(np.float32)
    x, y, out = ops.asarray(a), ops.asarray(b), ops.empty((6, 6), np.float32)

    def run():
        blas.matmul(x, y, out=out)

    run()
    replay = ops.record(run)
    for factor in (1, 2, 3):
        ops.copy(ops.asarray(factor * a), out=x)
        replay()
        np.testing.assert_allclose(ops.to_numpy(out), factor * a @ b, rtol=1e-5, atol=1e-5)


@pytest.fixture
def fresh(ops, monkeypatch):
    """blas.py and its library as in a new process."""
    library = cublas_on_host.Library()
    device = gpu.device()
    monkeypatch.setattr(device, "ctypes", types.SimpleNamespace(CDLL=lambda name: library))
    device.cublas.cache_clear()
    yield module(SOURCE), library
    device.cublas.cache_clear()


SOURCE = Path(minae.__file__).with_name("backends") / "gpu_cupy" / "blas.py"


def module(source):
    """blas.py of this text."""
    text = source if isinstance(source, str) else source.read_text()
    made = types.ModuleType("blas")
    exec(compile(text, "blas.py", "exec"), made.__dict__)
    return made


@emulated
def test_the_order_of_the_calls(fresh, ops):
    """The stream before the workspace, which cublasSetStream takes away; each once."""
    blas, library = fresh
    begin = ["cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode"]
    allocations = State.allocations
    product(blas.matmul, 2, 3, 4, False, False, np.float32)
    product(blas.matmul, 5, 3, 4, False, True, np.float64)
    assert library.calls == [*begin, "cublasSgemm_v2", "cublasDgemm_v2"]
    assert State.allocations == allocations + 6 + 1  # three arrays each, and the workspace
    (handle,) = library.handles.values()
    assert handle.mode == cublas_on_host.DEFAULT
    blas.set_tf32(True)
    product(blas.matmul, 2, 3, 4, False, False, np.float32)
    assert library.calls[6:] == [*begin, "cublasSgemm_v2"]
    assert [h.mode for h in library.handles.values()] == [0, cublas_on_host.TF32]
    assert len({h.workspace for h in library.handles.values()}) == 1


@emulated
def test_nothing_is_made_while_a_graph_is_captured(fresh, ops):
    blas, library = fresh
    x = ops.zeros((2, 2), np.float32)
    out = ops.zeros((2, 2), np.float32)
    capture = gpu.device().record  # which does not run it before, as ops.record does
    with pytest.raises(minae.MinaeError, match="a handle is made while a stream is captured"):
        capture(lambda: blas.matmul(x, x, out=out), None)
    blas.matmul(x, x, out=out)
    calls, before = len(library.calls), (State.allocations, State.synchronizations)
    capture(lambda: blas.matmul(x, x, out=out), None)()
    assert library.calls[calls:] == ["cublasSgemm_v2"]
    assert (State.allocations, State.synchronizations) == before


# ------------------------------------------------------------ faults
FAULTS = {
    "operands as they come": (
        "*(_pointer(b), b.shape[1]),\n        *(_pointer(a), a.shape[1]),",
        "*(_pointer(a), a.shape[1]),\n        *(_pointer(b), b.shape[1]),",
    ),
    "rows as columns": ("*(R, M, Q)", "*(M, R, Q)"),
    "transpose of the other": (
        "_TRANSPOSED if transpose_b else _AS_IT_IS,\n        _TRANSPOSED if transpose_a",
        "_TRANSPOSED if transpose_a else _AS_IT_IS,\n        _TRANSPOSED if transpose_b",
    ),
    "no transpose": ("_AS_IT_IS, _TRANSPOSED = 0, 1", "_AS_IT_IS, _TRANSPOSED = 0, 0"),
    "leading dimension of a": ("*(_pointer(a), a.shape[1])", "*(_pointer(a), a.shape[0])"),
    "leading dimension of b": ("*(_pointer(b), b.shape[1])", "*(_pointer(b), b.shape[0])"),
    "leading dimension of out": ("*(_pointer(out), R)", "*(_pointer(out), M)"),
    "number of terms": ("a.shape[0] if transpose_a else a.shape[1]", "a.shape[0]"),
    "half": ("one, zero = real(1), real(0)", "one, zero = real(0.5), real(0)"),
    "what stood in out": ("one, zero = real(1), real(0)", "one, zero = real(1), real(1)"),
    "float32 as float64": (
        '"float64": ("cublasDgemm_v2", c_double)',
        '"float64": ("cublasSgemm_v2", c_float)',
    ),
    "addresses of 32 bits": ("_MATRIX = [c_void_p, c_int]", "_MATRIX = [c_int, c_int]"),
    "handles of 32 bits": ("return [c_void_p, *[c_int] * 5", "return [c_int, *[c_int] * 5"),
    "workspace before the stream": (
        '    _call("cublasSetStream_v2", handle, device.stream())\n'
        '    _call("cublasSetWorkspace_v2", handle, _pointer(_workspace()), WORKSPACE)\n',
        '    _call("cublasSetWorkspace_v2", handle, _pointer(_workspace()), WORKSPACE)\n'
        '    _call("cublasSetStream_v2", handle, device.stream())\n',
    ),
    "no stream": ('    _call("cublasSetStream_v2", handle, device.stream())\n', ""),
    "workspace too small": ("device.empty((WORKSPACE,)", "device.empty((WORKSPACE // 2,)"),
    "TF32 unasked for": ("_FLOAT32, _TF32 = 0, 3", "_FLOAT32, _TF32 = 3, 3"),
    "strided rows": ('contiguous("dense.a", a), contiguous("dense.b", b)', "a, b"),
}


def wrong(blas):
    """What is wrong with a blas.py, or None."""
    try:
        for transposed in itertools.product((False, True), repeat=2):
            for dtype in (np.float32, np.float64):
                for shape in ((2, 3, 4), (3, 1, 5), (1, 4, 2)):
                    np.testing.assert_array_equal(*product(blas.matmul, *shape, *transposed, dtype))
        x = gpu.device().from_host(np.arange(24, dtype=np.float32).reshape(4, 6))[:, :3]
        out = gpu.device().empty((4, 4), np.float32)
        blas.matmul(x, x, out=out, transpose_b=True)
        host = np.arange(24, dtype=np.float32).reshape(4, 6)[:, :3]
        np.testing.assert_array_equal(gpu.device().to_host(out), host @ host.T)
        fine = gpu.device().from_host(np.full((1, 1), 1 + 2.0**-12, np.float32))
        blas.matmul(fine, gpu.device().from_host(np.ones((1, 1), np.float32)), out=out[:1, :1])
        assert gpu.device().to_host(out[:1, :1])[0, 0] == np.float32(1 + 2.0**-12)
    except (AssertionError, ctypes.ArgumentError, minae.MinaeError) as error:
        return str(error)
    return None


@emulated
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault, fresh):
    old, new = FAULTS[fault]
    text = SOURCE.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in blas.py"
    assert wrong(module(SOURCE)) is None
    assert wrong(module(text.replace(old, new))) is not None


# ------------------------------------------------------------ TF32
def relative_error(ops, M, Q, R):
    a, b = np.random.default_rng(0).uniform(1, 2, (2, M, Q)).astype(np.float32)
    out = ops.empty((M, M), np.float32)
    ops.matmul(ops.asarray(a), ops.asarray(b), out=out, transpose_b=True)
    wanted = a.astype(np.float64) @ b.astype(np.float64).T
    return float(np.max(np.abs(ops.to_numpy(out) - wanted) / wanted))


def test_tf32_rounds_the_factors_and_nothing_else_does(ops, blas):
    if gpu.device().compute_capability() < blas.TF32_FROM:
        pytest.skip("this card has no TF32")
    assert relative_error(ops, 8, 64, 8) < 1e-6
    ops.set_tf32(True)
    assert 1e-6 < relative_error(ops, 8, 64, 8) < 2 * TF32
    np.testing.assert_array_equal(*product(ops.matmul, 3, 4, 5, False, True, np.float64))
    ops.set_tf32(False)
    assert relative_error(ops, 8, 64, 8) < 1e-6


def test_double_products_know_no_tf32(ops, blas, monkeypatch):
    monkeypatch.setattr(blas, "tf32", True)
    dense = importlib.import_module(f"{ops.__name__}.dense")
    monkeypatch.setattr(dense.blas, "matmul", lambda *_, **__: pytest.fail("by cuBLAS"))
    np.testing.assert_array_equal(*product(ops.matmul, 3, 4, 5, False, True, np.float64))


@emulated
@pytest.mark.parametrize(("capability", "allowed"), [("75", False), ("80", True), ("120", True)])
def test_tf32_needs_an_ampere_card(ops, blas, monkeypatch, capability, allowed):
    monkeypatch.setattr(State, "capability", capability)
    if allowed:
        ops.set_tf32(True)
        assert blas.tf32
    else:
        with pytest.raises(minae.MinaeError, match="sm_80 or newer, found one of sm_75"):
            ops.set_tf32(True)
        assert not blas.tf32
    ops.set_tf32(False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "numba"], "--tf32 is for the cupy backend"),
        (["latent-sweep"], "trains several models and has no option --tf32"),
        (["--backend", "numpy", "--dtype", "float64"], "--tf32 is for --dtype float32"),
    ],
)
def test_tf32_is_refused_where_there_is_none(arguments, message, capsys, tmp_path):
    assert main([*arguments, "--tf32", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_remembers_tf32(ops, blas, monkeypatch, tmp_path):
    """It is in config.json and in the summary, and --resume takes it up again."""
    if gpu.device().compute_capability() < blas.TF32_FROM:
        pytest.skip("this card has no TF32")
    monkeypatch.setattr(train, "get_backend", lambda name: ops)
    monkeypatch.setattr(train, "write_figures", lambda *_: None)
    images = tmp_path / "images.npz"
    some, labels = mnist(40)
    np.savez(images, images=some, labels=labels)
    run = tmp_path / "run"
    begin = ["tanh", "--tf32", "--backend", "cupy", "--data", str(images), "--batch-size", "16"]
    assert main([*begin, "--steps", "3", "--out", str(run)]) == 0
    assert blas.tf32
    options = json.loads((run / "config.json").read_text())["options"]
    assert options["tf32"] is True
    assert train._as_begun(train.parser().parse_args(["--resume", str(run)]), options).tf32
    assert json.loads((run / "summary.json").read_text())["tf32"] is True
    assert main(["tanh", *begin[2:], "--steps", "3", "--out", str(tmp_path / "other")]) == 0
    assert not blas.tf32


# ------------------------------------------------------------ the library
class Without:
    """cupy.cuda where CuPy finds no cuBLAS."""

    def __init__(self, cuda):
        self.runtime = cuda.runtime

    @property
    def cublas(self):
        raise ImportError('Failure finding "libcublas.so.12": No such file\nlistdir("/usr/lib")')


def not_found(name):
    raise OSError(f"{name}: cannot open shared object file")


@emulated
@pytest.mark.parametrize(
    ("by_cupy", "reason"),
    [(True, "Failure finding .*: No such file"), (False, "libcublas.so.12: .*")],
)
def test_without_cublas(monkeypatch, by_cupy, reason):
    device = gpu.device()
    if by_cupy:
        monkeypatch.setattr(device.cupy, "cuda", Without(device.cupy.cuda))
    else:
        monkeypatch.setattr(device, "ctypes", types.SimpleNamespace(CDLL=not_found))
    device.cublas.cache_clear()
    wanted = rf"^cuBLAS is missing \({reason}\): pip install 'minae\[cuda12\]'$"
    with pytest.raises(minae.MinaeError, match=wanted):
        module(SOURCE)._function("cublasCreate_v2")
    device.cublas.cache_clear()


@emulated
def test_what_cublas_refuses_is_said(fresh):
    blas, _ = fresh
    with pytest.raises(minae.MinaeError, match=r"fails in cublasSgemm_v2: leading dimension 2 of"):
        blas._call(
            "cublasSgemm_v2",
            *(blas._handle(False), 0, 0, 3, 3, 3),
            *(blas.c_float(1), 8, 2, 8, 2, blas.c_float(0), 8, 2),
        )
