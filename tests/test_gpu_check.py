"""bench.gpu_check: how it runs its stages, and that each stage's command is one that exists."""

import json
import sys
import time

import cupy_on_host
import gpu
import numpy as np
import pytest

from bench import gpu as bench_gpu
from bench import gpu_check
from bench.gpu_check import Stage

PYTHON = (sys.executable, "-c")


def outcomes(tmp_path, *wanted, seconds=400.0):
    return {o.name: o for o in gpu_check.run(wanted, tmp_path, seconds, {"card": "a card"})}


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
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [stage["name"] for stage in summary["stages"]] == ["bad", "good", "absent"]


SANITIZED = """\
========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 4 bytes
=========     at adam+0x120
========= ERROR SUMMARY: 1 error
FAILED tests/test_gpu.py::test_any - AssertionError
tanh 256 graph failed: RuntimeError: no
"""


def test_what_complains_is_shown(tmp_path, capsys):
    """Also what stands amid much else, and no more than a screen of it."""
    output = f"fine\n{SANITIZED}fine\n" + 30 * f"ERROR {300 * 'x'}\n"
    found = outcomes(tmp_path, Stage("one", (*PYTHON, f"print({output!r})"), 1))
    lines = SANITIZED.split("\n")
    complaints = found["one"].complaints
    assert complaints[:4] == (lines[1], lines[3], lines[4], lines[5])
    assert len(complaints) == 12 and max(map(len, complaints)) == 160
    assert f"    {lines[1]}\n" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["stages"][0]["complaints"] == list(complaints)
    assert not outcomes(tmp_path, Stage("good", (*PYTHON, "print('fine')"), 1))["good"].complaints


def test_tests_that_run_out_of_time_say_what_failed_before(tmp_path):
    (tmp_path / "test_slow.py").write_text(
        "import time\ndef test_bad(): assert 1 == 2\ndef test_slow(): time.sleep(60)\n"
    )
    command = (*gpu_check.PYTEST, "--rootdir", str(tmp_path), str(tmp_path))
    found = outcomes(tmp_path, Stage("tests", command, 1), seconds=12)["tests"]
    assert found.result == "ran out of time" and found.seconds < 20
    assert [c.split(" - ")[0][-8:] for c in found.complaints] == ["test_bad"]


def test_a_stage_that_takes_too_long_is_ended_with_its_children(tmp_path):
    """What it had printed stays, and the next one has its turn."""
    touch = "import pathlib, time; time.sleep(4); pathlib.Path('{}').touch()"
    late = tmp_path / "late"
    child = (
        "import subprocess, sys, time; print('begun'); "
        f"subprocess.Popen([sys.executable, '-c', {touch.format(late)!r}]); time.sleep(60)"
    )
    begin = time.monotonic()
    found = outcomes(
        tmp_path,
        Stage("slow", (*PYTHON, child), 0.1),
        Stage("next", (*PYTHON, "print('done')"), 0.9),
        seconds=60,
    )
    assert time.monotonic() - begin < 20
    assert found["slow"].result == "ran out of time"
    assert (tmp_path / "slow.txt").read_text().startswith("begun\n")
    assert found["next"].result == "passed"
    time.sleep(max(0, begin + found["slow"].seconds + 5 - time.monotonic()))
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
    monkeypatch.setattr(gpu_check, "versions", lambda: {"cupy": "cupy-cuda13x 14.2.0"})
    one = Stage("one", (*PYTHON, f"raise SystemExit({code})"), 1)
    monkeypatch.setattr(gpu_check, "stages", lambda folder: [one])
    assert gpu_check.main(["--out", str(tmp_path / "a" / "b"), "--minutes", "1"]) == wanted
    summary = json.loads((tmp_path / "a" / "b" / "summary.json").read_text())
    assert (summary["card"], summary["cupy"]) == ("a card", "cupy-cuda13x 14.2.0")
    assert summary["stages"][0]["result"] == ("failed (3)" if code else "passed")


class Card:
    def device_name(self):
        return "a card"


def test_versions(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_on_host.module())
    found = gpu_check.versions()
    assert found["driver"] == "driver for CUDA 13000"
    assert found["numpy"] == f"numpy {np.__version__}" and found["torch"].startswith("torch 2")


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
    if "-n" in command:  # else each worker collects all of them
        command = (*command[: command.index("-n")], *command[command.index("-n") + 2 :])
    collect = (*command[begin:], "--collect-only")
    found = outcomes(tmp_path, Stage("collect", collect, 1))
    assert found["collect"].result == "passed"
    tests = [line for line in (tmp_path / "collect.txt").read_text().split("\n") if "::" in line]
    assert len(tests) >= {"trajectories": 30, "suite": 300, "memcheck": 240, "racecheck": 50}[name]
    if name == "trajectories":
        assert any("replaying" in test for test in tests)
