"""bench.gpu without a GPU: its arguments, what it says, and a contest on processors alone."""

import json
import time

import gpu
import numpy as np
import pytest

import minae
from bench import gpu as bench_gpu
from bench import gpu_products, rivals_cuda
from bench.floor import products_of
from bench.gpu import Roofline
from bench.models import MODELS
from bench.recording import record_step

without_compiler = pytest.mark.skipif(gpu.problem() is not None, reason=str(gpu.problem()))


@pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert bench_gpu.main(["--models", "vae"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minae: backend 'cupy' cannot run here: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch-sizes", "0"],
        ["--batch-sizes", "256,many"],
        ["--rounds", "0"],
        ["--steps", "-1"],
        ["--speed"],
        ["--parts", "steps,lunch"],
    ],
)
def test_refused_arguments(arguments):
    with pytest.raises(SystemExit, match="2"):
        bench_gpu.main(arguments)


@pytest.fixture
def on_processors(monkeypatch):
    """minae's kernels and PyTorch, both on the processor."""

    def milliseconds(step, steps):
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        return 1e3 * (time.perf_counter() - begin) / steps

    monkeypatch.setattr(bench_gpu, "get_backend", gpu.get_backend)
    monkeypatch.setattr(bench_gpu, "measure_roofline", lambda: Roofline(4e12, 5e13))
    monkeypatch.setattr(bench_gpu, "DEVICE", "cpu")
    monkeypatch.setattr(rivals_cuda, "milliseconds", milliseconds)
    monkeypatch.setattr(rivals_cuda.torch.cuda, "is_available", lambda: True)


QUICK = ["--parts", "steps", "--batch-sizes", "4", "--rounds", "2", "--steps", "1"]
QUICK += ["--rivals", "eager,fused"]


@without_compiler
def test_a_contest(on_processors, tmp_path, capsys):
    file = tmp_path / "gpu.json"
    assert bench_gpu.main(["--models", "tanh", *QUICK, "--json", str(file)]) == 0
    rows = json.loads(file.read_text())
    assert [row["best_rival"] for row in rows] == [True, False]
    assert {row["rival"] for row in rows} == {"eager", "fused"}
    for row in rows:
        assert row["card"] == gpu.backend().device_name()
        assert row["ratio"] == pytest.approx(row["rival_ms"] / row["ms"])
        assert row["ratio_range"][0] <= row["ratio_range"][1]
        assert 0 < row["floor_ms"] < 1
    printed = capsys.readouterr().out
    assert "4,000 GB/s copied, 50.0 Tflop/s" in printed
    assert "| M7 tanh | 4 |" in printed


@without_compiler
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "alexnet"], "unknown model 'alexnet'"),
        (["--rivals", "eager,jax"], "unknown rival 'jax'; choose among eager, fused, graph"),
    ],
)
def test_refused(on_processors, arguments, message, capsys):
    assert bench_gpu.main(arguments) == 2
    assert message in capsys.readouterr().err


@without_compiler
def test_a_model_of_another_loss_is_not_timed_and_the_others_are(
    on_processors, monkeypatch, capsys, tmp_path
):
    file, first_loss = tmp_path / "gpu.json", bench_gpu.first_loss

    def wrong_once(*given):
        monkeypatch.setattr(bench_gpu, "first_loss", first_loss)
        return first_loss(*given)[0] * (1 + 1e-4), None

    monkeypatch.setattr(bench_gpu, "first_loss", wrong_once)
    assert bench_gpu.main(["--models", "vanilla,tanh", *QUICK, "--json", str(file)]) == 1
    failed, *rows = json.loads(file.read_text())
    assert failed["failed"] == "vanilla 4" and "nothing was timed" in failed["error"]
    assert [row["model"] for row in rows] == ["tanh", "tanh"]
    printed = capsys.readouterr()
    assert "nothing was timed" in printed.err  # with its traceback
    assert "| M7 tanh | 4 |" in printed.out and "\nfailed: vanilla 4\n" in printed.out


@without_compiler
@pytest.mark.parametrize("broken", [{"fused"}, {"eager", "fused"}])
def test_a_rival_that_fails_does_not_cost_the_others(on_processors, monkeypatch, tmp_path, broken):
    file, theirs = tmp_path / "gpu.json", bench_gpu.theirs

    def some(name, *given):
        if name in broken:
            raise RuntimeError("operation not permitted when stream is capturing")
        return theirs(name, *given)

    monkeypatch.setattr(bench_gpu, "theirs", some)
    assert bench_gpu.main(["--models", "tanh", *QUICK, "--json", str(file)]) == 1
    rows = json.loads(file.read_text())
    assert rows[0]["ms"] > 0 and rows[0].get("rival") == (None if "eager" in broken else "eager")
    assert {row["failed"] for row in rows if "failed" in row} == {f"tanh 4 {b}" for b in broken}


@without_compiler
def test_a_product_that_fails_does_not_cost_the_others(on_processors, monkeypatch, capsys):
    measure_one = gpu_products.measure_one

    def some(product, *given):
        if product.Q == 784:
            raise RuntimeError("cuBLAS is missing")
        return measure_one(product, *given)

    monkeypatch.setattr(gpu_products, "measure_one", some)
    few = ["--models", "tanh", "--batch-sizes", "4", "--rounds", "1", "--steps", "1"]
    assert bench_gpu.main([*few, "--parts", "products"]) == 1
    printed = capsys.readouterr().out
    assert "failed: RuntimeError: cuBLAS is missing" in printed and "CUBLAS_FROM = " in printed


def test_slow_steps_are_fewer(on_processors, monkeypatch):
    """A turn lasts as long for a slow step as for a fast one, but for its three steps."""
    counts = []

    def slow(step, steps):
        counts.append(steps)
        return 50.0

    one = bench_gpu.Contender("minae graph", lambda: None, slow)
    two = bench_gpu.Contender("minae eager", lambda: None, slow)
    monkeypatch.setattr(bench_gpu, "ours", lambda *_: [one, two])
    monkeypatch.setattr(bench_gpu, "check_losses", lambda *_: None)
    options = bench_gpu.parser().parse_args(["--steps", "100", "--rounds", "1"])
    bench_gpu.measure(None, MODELS["tanh"], 4, [], options, Roofline(4e12, 5e13))
    assert counts == [3, 4, 3, 4]


# ------------------------------------------------------------ products
@pytest.mark.parametrize("label", MODELS)
def test_a_dry_step_asks_for_the_same_products(label):
    """Nothing is computed, and the shapes are those of a step that is."""
    recorded = [
        [
            (call.name, {name: a.shape for name, a in call.arrays().items()})
            for call in record_step(MODELS[label].make(), minae.get_backend("numpy"), 4, dry=dry)
        ]
        for dry in (True, False)
    ]
    assert recorded[0] == recorded[1]


@without_compiler
def test_products_are_timed_in_each_way(on_processors, tmp_path, capsys):
    file = tmp_path / "gpu.json"
    few = ["--models", "tanh", "--batch-sizes", "4", "--rounds", "1", "--steps", "1"]
    assert bench_gpu.main([*few, "--parts", "products", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())
    wanted = {(p.M, p.Q, p.R) for p in products_of(MODELS["tanh"].make(), 4)}
    assert {(row["M"], row["Q"], row["R"]) for row in rows} == wanted
    for row in rows:
        assert row["card"] == gpu.backend().device_name()
        assert row["models"] == ["tanh 4"]
        for times in (row["ms"], row["graph_ms"]):
            assert times.keys() == {"own", "cublas", "tf32"} and min(times.values()) > 0
    assert "\nCUBLAS_FROM = {'nn': " in capsys.readouterr().out


def timed(kind, multiplications, own, cublas):
    ms = {"own": own, "cublas": cublas}
    return {"product": kind, "multiplications": multiplications, "graph_ms": ms}


def test_the_rule_is_that_of_the_measurement():
    """From where on cuBLAS is ahead for good; not at all where it loses at the largest product."""
    rows = [
        *(timed("nn", 10, 1, 2), timed("nn", 20, 2, 1), timed("nn", 30, 1, 2)),
        *(timed("nn", 50, 2, 1), timed("nn", 40, 2, 1)),
        *(timed("nt", 10, 2, 1), timed("nt", 20, 2, 1)),
        *(timed("tn", 10, 2, 1), timed("tn", 20, 1, 1)),
    ]
    found = gpu_products.rule(rows)
    assert found == {"nn": 40, "nt": 10, "tn": float("inf"), "tt": float("inf")}


@without_compiler
def test_m6_is_trained_to_the_last_step(monkeypatch, capsys):
    monkeypatch.setattr(bench_gpu, "M6_STEPS", 4)
    recipe = MODELS["tanh"].make()
    recipe.batch_size = 4
    row = bench_gpu.train_m6(gpu.backend(), recipe)
    assert row["steps"] == 4 and row["seconds"] > 0 and 0 < row["loss"] < 100
    assert recipe.optimizer.steps_done == 7
    assert "M6: 4 steps in" in capsys.readouterr().out


def test_pytorch_trains_as_in_the_contest_of_processors():
    """Its losses fall, and a batch smaller than the set is taken in a new order each epoch."""
    recipe = MODELS["tanh"].make()
    recipe.model.bind("numpy", np.float32, recipe.seed)
    images = minae.load_images().train_images[:64]
    run = rivals_cuda.CudaTraining(
        recipe.model,
        recipe.optimizer,
        images,
        np.zeros(64, np.int64),
        batch_size=32,
        device="cpu",
    )
    x = run.pixels
    before, seen = run.twin(x).item(), []
    for _ in range(20):
        run.step()
        seen.append(run.rows.tolist())
    assert run.twin(x).item() < 0.9 * before
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == [*range(64)]
    assert seen[0] + seen[1] != seen[2] + seen[3]


def test_the_floor_is_the_larger_of_both_bounds():
    assert Roofline(1e12, 1e13).floor_ms(10**13, 0) == 1000
    assert Roofline(1e12, 1e13).floor_ms(10**13, 4 * 10**12) == 4000
