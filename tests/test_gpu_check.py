"""bench.gpu_check: how it runs its stages, and that each stage's command is one that exists."""

import json
import sys
import time

import gpu
import pytest

from bench import gpu as bench_gpu
from bench import gpu_check
from bench.gpu_check import Stage

PYTHON = (sys.executable, "-c")


def outcomes(tmp_path, *wanted, seconds=60.0):
    return {o.name: o for o in gpu_check.run(wanted, tmp_path, seconds)}


def test_a_failure_does_not_stop_the_rest(tmp_path, capsys):
    found = outcomes(
        tmp_path,
        Stage("bad", (*PYTHON, "print('so far'); raise SystemExit(9)"), 1),
        Stage("good", (*PYTHON, "import os; print(os.environ['HOW'])"), 1, {"HOW": "well"}),
        Stage("absent", ("no-such-sanitizer", "--tool", "memcheck"), 1),
    )
    assert [o.result for o in found.values()] == ["failed (9)", "passed", "left out"]
    assert found["bad"].last_line == "so far" and found["good"].last_line == "well"
    assert found["absent"].last_line == "no-such-sanitizer is not installed"
    assert (tmp_path / "good.txt").read_text() == "well\n"
    assert "bad: failed (9)" in capsys.readouterr().out


def test_a_stage_that_takes_too_long_is_ended_with_its_children(tmp_path):
    """What it had printed stays, and the next one has its turn."""
    touch = "import pathlib, time; time.sleep(2); pathlib.Path('{}').touch()"
    late = tmp_path / "late"
    child = (
        "import subprocess, sys; print('begun'); "
        f"subprocess.run([sys.executable, '-c', {touch.format(late)!r}])"
    )
    begin = time.monotonic()
    found = outcomes(
        tmp_path,
        Stage("slow", (*PYTHON, child), 0.1),
        Stage("next", (*PYTHON, "print('done')"), 0.9),
        seconds=10,
    )
    assert time.monotonic() - begin < 8
    assert (found["slow"].result, found["slow"].last_line) == ("ran out of time", "begun")
    assert found["next"].result == "passed"
    time.sleep(2)
    assert not late.exists()


def test_no_stage_begins_after_the_last_minute(tmp_path):
    found = outcomes(tmp_path, Stage("any", (*PYTHON, "1"), 1), seconds=0)
    assert (found["any"].result, found["any"].last_line) == ("left out", "no time was left")


@pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path, capsys):
    assert gpu_check.main(["--out", str(tmp_path / "check")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minae: backend 'cupy' cannot run here: ") and said.count("\n") == 1
    assert not (tmp_path / "check").exists()


@pytest.mark.parametrize(("code", "wanted"), [(0, 0), (3, 1)])
def test_a_check_in_whole(tmp_path, monkeypatch, code, wanted):
    """Its exit code and summary.json, with a stage of our own."""
    monkeypatch.setattr(gpu_check, "get_backend", lambda name: Card())
    one = Stage("one", (*PYTHON, f"raise SystemExit({code})"), 1)
    monkeypatch.setattr(gpu_check, "stages", lambda folder: [one])
    assert gpu_check.main(["--out", str(tmp_path / "a" / "b"), "--minutes", "1"]) == wanted
    summary = json.loads((tmp_path / "a" / "b" / "summary.json").read_text())
    assert summary["card"] == "a card"
    assert summary["stages"][0]["result"] == ("failed (3)" if code else "passed")


class Card:
    def device_name(self):
        return "a card"


# ------------------------------------------------------------ the commands
STAGES = {stage.name: stage for stage in gpu_check.stages(gpu_check.ROOT)}


def test_all_that_is_wanted_is_there():
    assert [*STAGES] == ["products", "trajectories", "suite", "steps", "memcheck", "racecheck"]


@pytest.mark.parametrize("name", ["products", "steps"])
def test_arguments_of_the_measurements(name):
    *_, command = STAGES[name].command[:3]
    assert command == "bench.gpu"
    options = bench_gpu.parser().parse_args(STAGES[name].command[3:])
    assert options.json.suffix == ".json" and set(options.parts) < {*bench_gpu.PARTS}


@pytest.mark.parametrize("name", ["trajectories", "suite", "memcheck", "racecheck"])
def test_selections_of_tests(name, tmp_path):
    """Each finds tests: a name that was changed would leave it empty, or short."""
    command = STAGES[name].command
    begin = command.index(sys.executable)
    collect = (*command[begin:], "--collect-only", "-n", "0")
    found = outcomes(tmp_path, Stage("collect", collect, 1))
    assert found["collect"].result == "passed"
    tests = [line for line in (tmp_path / "collect.txt").read_text().split("\n") if "::" in line]
    assert len(tests) >= {"trajectories": 30, "suite": 300, "memcheck": 240, "racecheck": 50}[name]
    if name == "trajectories":
        assert any("replaying" in test for test in tests)
