"""bench.gpu without a GPU: its arguments, what it says, and a contest on processors alone."""

import json
import time

import gpu
import numpy as np
import pytest

import minae
from bench import gpu as bench_gpu
from bench import rivals_cuda
from bench.gpu import Roofline
from bench.models import MODELS

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


QUICK = ["--batch-sizes", "4", "--rounds", "2", "--steps", "1", "--rivals", "eager,fused"]


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
def test_another_loss_stops_the_run(on_processors, monkeypatch, capsys):
    first_loss = bench_gpu.first_loss
    wrong = lambda *given: (first_loss(*given)[0] * (1 + 1e-4), None)  # noqa: E731
    monkeypatch.setattr(bench_gpu, "first_loss", wrong)
    assert bench_gpu.main(["--models", "tanh", *QUICK]) == 2
    assert "nothing was timed" in capsys.readouterr().err


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
