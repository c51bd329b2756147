"""The benchmark measures what it says: the rivals compute the same, the floor is the floor."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import choices, contest, cpu, ladder, operations, probe, report, timing
from bench.floor import Product, floor, products_of
from bench.ladder import Rung, first_convolution, output_layer, with_its_products
from bench.models import MODELS, mnist
from bench.rivals import Chain, modules_of, twin_of
from bench.timing import Contender, Timing, alternate, busy
from minae import MinaeError
from minae.backends.spec import OPERATIONS
from tests.examples import BACKENDS, EXAMPLES, bind, classes_of, new_batch, walk

ROOT = Path(__file__).parents[1]
every_model = pytest.mark.parametrize("name", MODELS)


# ------------------------------------------------------------------ the same computation
def one_step(name, backend, dtype, samples=6):
    """A bound model whose biases are not zero, and its cache after one forward and backward."""
    recipe = MODELS[name].make()
    model = recipe.model.bind(backend, dtype, 1)
    rng = np.random.default_rng(0)
    for path, view in model.parameters.views.items():
        model.parameters.assign(path, model.ops.to_numpy(view) + 0.1 * rng.normal(size=view.shape))
    images, labels = (a[:samples] for a in mnist(256))
    cache = model.new_cache(samples)
    rows = model.ops.asarray(np.arange(samples), np.int64)
    device_labels = model.device_labels(labels, samples)
    model.load(model.device_images(images), device_labels, rows, cache)
    model.forward(cache)
    model.backward(cache)
    return model, cache


def gradients(model):
    """Of each layer with weights: of its weight, label channels concatenated, and of its bias."""
    found = []
    for network in model.networks().values():
        for layer in walk(network):
            if layer.parameters():
                label = [layer.dw_label] if hasattr(layer, "dw_label") else []
                found += [np.concatenate([layer.dw, *label], axis=1), layer.db]
    return found


@every_model
@pytest.mark.parametrize(
    ("backend", "dtype"), [("numpy", "float64"), ("numpy", "float32"), ("numba", "float32")]
)
def test_twin_computes_the_same(name, backend, dtype):
    """Loss and every gradient. Images are drawn away from kinks by chance: the seeds are fixed."""
    model, cache = one_step(name, backend, dtype)
    twin = twin_of(model)
    tensors = {k: getattr(cache, k, None) for k in ("x", "one_hot", "eps")}
    x, one_hot, eps = (None if a is None else torch.from_numpy(a) for a in tensors.values())
    loss = twin(x, one_hot, eps)
    loss.backward()
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    assert loss.item() == pytest.approx(cache.values["loss"][0], rel=tolerance)
    wanted = [parameter.grad.numpy() for parameter in twin.parameters()]
    found = gradients(model)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.abs(theirs).max() > 0
        size = np.abs(theirs).max()
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=tolerance * size)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_layer_has_its_module(name):
    make, x_shape = EXAMPLES[name]
    layer = make()
    parameters = bind(layer, "numpy", "float64")
    batch = new_batch(parameters, x_shape[0], classes_of(layer), training=False)
    x = np.random.default_rng(0).normal(size=x_shape)
    wanted = layer.forward(x, layer.new_cache(x_shape, batch))
    one_hot = None if batch.one_hot is None else torch.from_numpy(batch.one_hot)
    found = Chain(*modules_of(layer)).eval()(torch.from_numpy(x), one_hot).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_another_loss_stops_the_run(monkeypatch, capsys):
    honest = contest.twin_loss
    monkeypatch.setattr(contest, "twin_loss", lambda *given: honest(*given) * (1 + 1e-4))
    assert cpu.main(["--models", "tanh", "--batch-sizes", "8"]) == 2
    error = capsys.readouterr().err
    assert "tanh at batch 8: PyTorch computes a loss of" in error
    assert "nothing was timed" in error


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_operation_has_a_rival_that_computes_the_same(backend):
    """Those that draw random numbers are not compared."""
    seen = set()
    for case in operations.cases():
        seen.add(case.operation)
        wanted = [tensor.numpy().copy() for tensor in case.rival()]
        case.run(backend)
        for name, value in zip(case.written, wanted, strict=False):
            found = np.asarray(case.arguments[name]).reshape(value.shape)
            size = np.abs(value).max()
            np.testing.assert_allclose(
                found, value, rtol=0, atol=1e-5 * size, err_msg=f"{case.operation} {case.sizes}"
            )
    returning = {"empty", "zeros", "asarray", "to_numpy", "set_threads", "set_tf32"}
    assert seen == {*OPERATIONS} - returning - {"device_name", "record", "sparse_pays"}


# ------------------------------------------------------------------ the floor
def test_products_of_the_smallest_model():
    """Two forward, two of weights, one handed back through the output layer."""
    N = 8
    assert products_of(MODELS["vanilla"].make(), N) == [
        Product(N, 784, 32, transpose_b=True),
        Product(N, 32, 784, transpose_b=True),
        Product(784, N, 32, transpose_a=True),
        Product(N, 784, 32),
        Product(32, N, 784, transpose_a=True),
    ]


@every_model
def test_floor_counts_what_pytorch_counts(name):
    """The FLOP of the twin's step; with label planes the twin has more than three times as many."""
    model, cache = one_step(name, "numpy", "float32")
    twin = twin_of(model)
    one_hot = None if cache.one_hot is None else torch.from_numpy(cache.one_hot)
    with FlopCounterMode(display=False) as counter:
        twin(torch.from_numpy(cache.x), one_hot).backward()
    flops = sum(product.flops for product in products_of(MODELS[name].make(), len(cache.x)))
    if model.classes is None:
        assert flops == counter.get_total_flops()
    else:
        assert 0 < flops < 0.75 * counter.get_total_flops()


def test_floor_multiplies_these_matrices(monkeypatch):
    wanted = [Product(3, 4, 5, transpose_a=True), Product(2, 7, 6, transpose_b=True)]
    step, multiply, seen = floor(wanted), np.matmul, []

    def matmul(a, b, *, out):
        multiply(a, b, out=out)
        transposed = (a.flags.f_contiguous, b.flags.f_contiguous)
        seen.append(Product(*a.shape, b.shape[1], *transposed))
        assert a.dtype == b.dtype == out.dtype == np.float32

    monkeypatch.setattr(np, "matmul", matmul)
    step()
    assert seen == wanted


# ------------------------------------------------------------------ timing
def test_contenders_take_turns(monkeypatch):
    taken = []

    def contender(name):
        return Contender(name, lambda: taken.append(name), lambda threads: taken.append(threads))

    monkeypatch.setattr(timing, "seconds_of_others", lambda: 0.0)
    found = alternate(
        [contender("a"), contender("b")], threads=2, rounds=3, turn=0.0, settle=0.0, patience=0
    )
    steps = 2 * timing.LEAST_STEPS
    assert taken == [2, *steps * ["a"], 2, *steps * ["b"]] * 3
    assert {name: len(times) for name, times in found.turns.items()} == {"a": 3, "b": 3}
    assert found.disturbed == 0


def test_a_disturbed_turn_is_taken_again(monkeypatch):
    others = iter([0.0, 1.0, 1.0, 1.0])  # a second in the first try, none in the second
    monkeypatch.setattr(timing, "seconds_of_others", lambda: next(others))
    found = alternate(
        [Contender("a", lambda: None, lambda threads: None)],
        threads=1,
        rounds=1,
        turn=0.0,
        settle=0.0,
    )
    assert found.disturbed == 0
    assert list(others) == []


def test_others_are_seen():
    """A process of ours that is not this one counts, this one's own work does not."""
    begin, before = time.perf_counter(), timing.seconds_of_others()
    with busy(1):
        time.sleep(0.6)
    with_other = (timing.seconds_of_others() - before) / (time.perf_counter() - begin)
    assert with_other > timing.DISTURBED


def ended(pid):
    """Whether a process is gone, or nothing but its exit code is left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_busy_processes_are_gone_afterwards():
    with pytest.raises(KeyboardInterrupt), busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
        raise KeyboardInterrupt
    assert all(ended(process.pid) for process in processes)


def test_busy_processes_end_when_their_parent_is_killed():
    code = (
        "import time; from bench.timing import busy\n"
        "with busy(2) as p:\n    print(*(q.pid for q in p), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert not any(ended(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    limit = time.monotonic() + 10
    while not all(ended(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.05)
    assert all(ended(pid) for pid in pids)


# ------------------------------------------------------------------ rows
def test_rows_name_the_best_rival():
    turns = {
        "numpy": [2.0, 4.0, 3.0],
        "numba": [1.0, 1.0, 1.0],
        "eager": [9.0, 9.0, 9.0],
        "fused": [6.0, 3.0, 5.0],
        contest.FLOOR: [0.5, 0.5, 0.5],
    }
    rows = report.rows_of(MODELS["vanilla"], 256, 2, Timing(turns))
    assert [(r["backend"], r["rival"], r["best_rival"]) for r in rows] == [
        ("numpy", "fused", True),
        ("numpy", "eager", False),
        ("numba", "fused", True),
        ("numba", "eager", False),
    ]
    assert rows[0]["ms"] == 3000
    assert rows[0]["rival_ms"] == 5000
    assert rows[0]["ratio"] == pytest.approx(5 / 3)
    assert rows[0]["ratio_range"] == [3 / 4, 3]
    assert rows[2]["floor_multiple"] == 2
    assert report.summary(rows) == "goals reached by numba: 1 of 1"
    for row in rows:
        row["goal"] = 5.5
    assert report.summary(rows).endswith("missed: vanilla at 256 (5.00 of 5.5)")
    slow = report.slow_downs(Timing({"numpy": [1.0]}), Timing({"numpy": [3.0]}))
    assert slow == {"numpy": 3}


KEYS = {
    *("model", "system", "batch_size", "threads", "backend", "rival", "best_rival", "ms"),
    *("rival_ms", "ratio", "ratio_range", "goal", "gemm_floor_ms", "floor_multiple", "peak_mb"),
    *("disturbed_turns", "slow_down", "rival_slow_down"),
}
PROBED = {
    *("rival_peak_mb", "rival_lean_peak_mb", "rival_first_step_s", "peak_mb", "peak_cold_mb"),
    *("first_step_cold_s", "first_step_cached_s"),
}


def test_command(tmp_path, monkeypatch, capsys):
    """All it writes, for one model; the probes' processes are stood in for."""
    monkeypatch.setattr(probe, "probe", lambda *_, **__: {"first_step_s": 1.5, "peak_mb": 99.0})
    file, picture = tmp_path / "rows.json", tmp_path / "picture.png"
    arguments = ["--models", "M7", "--batch-sizes", "8", "--rounds", "1", "--turn", "0.001"]
    arguments += ["--threads", "1", "--probe", "--loaded", "--jax"]
    monkeypatch.setattr(cpu, "has_jax", lambda: False)
    assert cpu.main([*arguments, "--json", str(file), "--plot", str(picture)]) == 0
    rows = json.loads(file.read_text())
    assert [(r["backend"], r["best_rival"]) for r in rows] == [
        (backend, best) for backend in BACKENDS for best in (True, False)
    ]
    for row in rows:
        assert {*row} == KEYS | (PROBED if row["best_rival"] else set())
        assert row["model"] == "tanh"
        assert row["ratio"] == pytest.approx(row["rival_ms"] / row["ms"])
    assert rows[0]["peak_mb"] == 99.0
    assert picture.read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "JAX is not installed" in output
    assert "beside 2 busy processes" in output
    lines = [line for line in output.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "alexnet"], "unknown model 'alexnet'; choose among vanilla, deep"),
        (["--threads", "999"], "--threads is 1 to"),
        (["--threads", "0"], "found 0"),
        (["--rounds", "0"], "--rounds is 1 or more, found 0"),
    ],
)
def test_refused(arguments, message, capsys):
    assert cpu.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("sizes", ["0", "32,", "many"])
def test_refused_batch_sizes(sizes):
    with pytest.raises(SystemExit, match="2"):
        cpu.main(["--batch-sizes", sizes])


@pytest.mark.parametrize("contender", ["numpy", "fused"])
def test_probe(contender):
    figures = probe.probe("vanilla", 32, contender, threads=1)
    assert 0 < figures["first_step_s"] < 60
    assert 50 < figures["peak_mb"] < 2000
    # that of this process, which is larger or smaller, has no part in it
    ballast = np.ones(2**27, np.uint8)
    again = probe.probe("vanilla", 32, contender, threads=1)["peak_mb"]
    assert again == pytest.approx(figures["peak_mb"], abs=40)
    assert ballast.nbytes / 1e6 > 3 * 40


# ------------------------------------------------------------------ ladders
@pytest.mark.parametrize("steps", [output_layer, with_its_products, first_convolution])
def test_rungs_compute_the_same(steps):
    rungs = steps.rungs(1)
    ladder.check(rungs)
    assert len(rungs) >= 3
    table = ladder.table("title", rungs, [float(len(rungs) - i) for i in range(len(rungs))])
    assert table.count("\n") == len(rungs) + 4


def test_a_wrong_rung_is_refused():
    right = Rung("right", lambda: (np.array([1.0, 2.0]),))
    wrong = Rung("wrong", lambda: (np.array([1.0]) + 1e-4,), part=0.5)
    ladder.check([right, right])
    with pytest.raises(MinaeError, match="'wrong' computes something else"):
        ladder.check([wrong, right])


def test_operations_ladder_and_choices_take_the_place_of_the_contest(monkeypatch):
    called = []
    for module in (operations, ladder, choices):
        monkeypatch.setattr(
            module, "run", lambda threads, module=module: called.append((module, threads))
        )
    monkeypatch.setattr(cpu, "contest", lambda options: called.append("contest"))
    assert cpu.main(["--operations", "--ladder", "--choices", "--threads", "1"]) == 0
    assert called == [(operations, 1), (ladder, 1), (choices, 1)]


@pytest.mark.parametrize("rule", choices.RULES)
def test_every_way_comes_to_the_same(rule, monkeypatch, capsys):
    """The smaller half of the shapes; `microseconds` checks each."""
    few = list(itertools.islice(choices.RULES[rule](), 12))
    monkeypatch.setattr(choices, "RULES", {rule: lambda: few})
    choices.run(1, rounds=1, turn=0.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"### {rule}" and len(lines) == len(few) + 5
    assert all(line.count("**") == 2 for line in lines[4:-1])


def test_a_wrong_way_is_refused():
    ways = {"right": lambda: np.ones(3), "wrong": lambda: np.ones(3) * 1.001}
    choice = choices.Choice("1×3", ways, "right")
    with pytest.raises(MinaeError, match="1×3: 'wrong' computes something else"):
        choices.microseconds(choice, 1, 1, 0.0)


def test_operations_print_a_line_each(monkeypatch, capsys):
    first = next(operations.cases())
    monkeypatch.setattr(operations, "cases", lambda: iter([first]))
    operations.run(1, rounds=1, turn=0.0)
    assert "| copy " in capsys.readouterr().out
