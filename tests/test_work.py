"""A step may not take more work than bench/work.json says; and the counts are right."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import work
from bench.passes import counted
from bench.recording import Call, Recorder, record_step
from minae import get_backend, recipes
from minae.backends.cpu_numpy import losses as numpy_losses
from minae.models import Autoencoder
from tests.examples import BACKENDS

ROOT = Path(__file__).parents[1]
RECORDED = json.loads(work.FILE.read_text())


# ------------------------------------------------------------------ the gate
def test_no_step_takes_more_work_than_recorded():
    """In a process of its own: it counts with one thread."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.work"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, (
        f"{done.stdout}{done.stderr}(python -m bench.work --write, if meant)"
    )
    assert done.stdout == "no more work than in work.json\n"


def recorded():
    """What is recorded, as if it had just been counted."""
    found = copy.deepcopy(RECORDED)
    for step in found["steps"].values():
        step["allocated"] = 2000
    return found


def test_every_measured_recipe_is_recorded():
    assert {*RECORDED["steps"]} == {f"{r}, {b}" for r in work.NAMES for b in BACKENDS}
    assert work.rises(recorded(), RECORDED) == []


def test_less_work_passes():
    found = recorded()
    for step in found["steps"].values():
        for kind in work.UNITS:
            step[kind] = {name: number // 2 for name, number in step[kind].items()}
    found["kernels"] = {}
    assert work.rises(found, RECORDED) == []


@pytest.mark.parametrize("kind", work.UNITS)
def test_more_work_is_named(kind):
    found = recorded()
    step = found["steps"]["vae, numba"][kind]
    name, number = next(iter(step.items()))
    step[name] += 1
    total = sum(step.values())
    assert work.rises(found, RECORDED) == [
        f"a step of vae, numba takes {total:,} {work.UNITS[kind]}, {total - 1:,} in work.json: "
        f"{name} {number:,} → {number + 1:,}."
    ]


def test_work_that_moved_is_not_more():
    found = recorded()
    passes = found["steps"]["vae, numba"]["passes"]
    passes["new._kernel"] = passes.pop("output_layer._bce_with_logits")
    assert work.rises(found, RECORDED) == []


def test_more_kernels_are_named():
    found = recorded()
    found["kernels"]["adam._adam"] += 2
    (sentence,) = work.rises(found, RECORDED)
    assert sentence.startswith("Numba takes ")
    assert sentence.endswith("in work.json: adam._adam 1 → 3.")


def test_allocations_are_named():
    found = recorded()
    found["steps"]["cvae, numpy"]["allocated"] = work.ALLOCATED
    (sentence,) = work.rises(found, RECORDED)
    assert sentence == "a step of cvae, numpy allocates 32,768 bytes, fewer than 32,768 are wanted."


def test_a_new_recipe_is_asked_for():
    found = recorded()
    found["steps"]["new, numpy"] = found["steps"]["vae, numpy"]
    (sentence,) = work.rises(found, RECORDED)
    assert sentence == "new, numpy is not in work.json: python -m bench.work --write."


# ------------------------------------------------------------------ the counts
def test_bytes_of_a_call():
    """In and out once, twice where an array is updated, of a data set the rows that are read."""
    ops = Recorder(get_backend("numpy"))
    vectors = [np.ones(100, np.float32) for _ in range(4)]
    ops.adam(*vectors, np.zeros(1, np.int64), np.ones(1), 0.9, 0.999, 1e-8, 0.0)
    source, rows, out = np.ones((50, 7), np.uint8), np.arange(3), np.ones((3, 7), np.float32)
    ops.gather(source, rows, 1.0, 0.0, out=out)
    a = np.ones((5, 6))
    ops.bias_activation_forward(a, None, "relu", 0.0, out=a)
    adam, gather, activation = ops.calls
    assert adam.name == "adam"
    assert adam.nbytes == 7 * 400 + 8 + 8
    assert gather.nbytes == 3 * 7 + 3 * 8 + 3 * 7 * 4
    assert activation.nbytes == 2 * a.nbytes
    assert ops.name == "numpy"


def test_a_step_is_recorded_once():
    calls = record_step(recipes.make("vanilla"), get_backend("numpy"), 8)
    names = [call.name for call in calls]
    assert names.count("matmul") == 5
    assert names.count("adam") == names.count("gather") == names.count("bce_with_logits") == 1
    assert not {"empty", "zeros", "asarray", "random_uint32"} & {*names}
    assert all(isinstance(call, Call) for call in calls)
    assert calls[names.index("gather")]["out"].shape == (8, 784)


def test_kernels_are_counted_by_type():
    """Whether they were compiled in this process or before."""
    ops, value = get_backend("numba"), np.zeros(1)
    y, t, double = np.ones((3, 400), np.float32), np.ones((3, 400), np.float32), np.ones((3, 400))

    def three_types():
        ops.l1(y, t, 1.0, value=value, dy=None)
        ops.l1(y, t, 1.0, value=value, dy=y.copy())
        ops.l1(double, double, 1.0, value=value, dy=None)

    three_types()
    with counted() as passes:
        three_types()
        three_types()
    assert passes.calls["losses._l1"] == 6
    assert len(passes.signatures["losses._l1"]) == 3


def test_passes_of_an_operation():
    """One for a fused kernel; in NumPy one for each function, ufuncs' methods too."""
    y, t, dy = (np.ones((64, 784), np.float32) for _ in range(3))
    found = {}
    for backend in BACKENDS:
        mse, value = get_backend(backend).mse, np.zeros(1)
        mse(y, t, 1.0, value=value, dy=dy)
        with counted() as passes:
            mse(y, t, 1.0, value=value, dy=dy)
        found[backend] = passes
        with counted() as nothing:
            pass
        mse(y, t, 1.0, value=value, dy=dy)
        assert not nothing.calls
    assert found["numba"].calls == {"losses._mse": 1, "losses.add_totals": 1}
    total = value = np.float64().nbytes  # of the one part
    assert found["numba"].bytes["losses._mse"] == 3 * y.nbytes + total
    assert found["numba"].bytes["losses.add_totals"] == total + value
    assert found["numpy"].calls["losses.np.subtract"] == 1
    assert found["numpy"].calls["losses.np.add.reduce"] == 1
    assert found["numpy"].bytes["losses.np.subtract"] == 3 * y.nbytes
    assert numpy_losses.np is np


def test_allocation_is_counted(monkeypatch):
    """Of a step that makes an array of 64 KiB and lets go of it."""
    forward = Autoencoder.forward

    def spendthrift(self, cache):
        np.ones(2**13)
        forward(self, cache)

    thrifty = work.inner_work("vanilla", "numpy")[1]
    monkeypatch.setattr(Autoencoder, "forward", spendthrift)
    assert thrifty < work.ALLOCATED < 2**16 <= work.inner_work("vanilla", "numpy")[1]


def test_more_passes_are_counted(monkeypatch):
    """A loss that goes over its arrays once more."""
    before, _ = work.step_work("tanh", "numpy")
    multiply = numpy_losses.mse

    def slower(y, t, scale, *, value, dy):
        multiply(y, t, scale, value=value, dy=dy)
        numpy_losses.np.multiply(dy, 1, out=dy)

    monkeypatch.setattr(get_backend("numpy"), "mse", slower)
    after, _ = work.step_work("tanh", "numpy")
    sentences = work.rises(
        {"steps": {"tanh, numpy": after}, "kernels": {}},
        {"steps": {"tanh, numpy": before}, "kernels": {}},
    )
    assert [sentence.split(": ")[1].split()[0] for sentence in sentences] == [
        "losses.np.multiply",
        "losses.np.multiply",
    ]
