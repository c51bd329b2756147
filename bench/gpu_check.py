"""All that is to be done first on a machine with a GPU, in one call of ten minutes at most.

    python -m bench.gpu_check [--out gpu-check] [--minutes 9]

runs one after another, most telling first: M6's 20 000 steps, products by own kernels and by
cuBLAS, training steps against numpy's and replayed against eager ones, the suite of operations,
bench.gpu against PyTorch, and the suite under compute-sanitizer's memcheck and racecheck. Each
writes its output to a file of the folder while it runs; what fails or runs out of time does not
stop the rest. `summary.json`, written anew after each, says how it ended and what complained.
Exit code 0 if all passed, 1 if not, 2 without a usable GPU.

CuPy, PyTorch, NumPy, pytest and hypothesis are needed; without pytest-xdist tests run one by one.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minae.backends import get_backend
from minae.errors import MinaeError

ROOT = Path(__file__).parents[1]
PYTEST = (
    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
    *("-o", "addopts=-q -m 'not slow'", "--tb=short", "--continue-on-collection-errors"),
)
HAS_XDIST = importlib.util.find_spec("xdist") is not None
WORKERS = ("-n", str(min(8, os.cpu_count() or 1))) if HAS_XDIST else ()
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # in each worker
GPU = (sys.executable, "-m", "bench.gpu", "--rounds", "3", "--steps", "100")
TRAINED = "as_on_numpy or replaying or restored or twenty_steps"
# kernels whose threads share memory
SHARED = "matmul or conv2d or bce or mse or softmax or batch_norm or contractive or importance"
SANITIZER = ("compute-sanitizer", "--target-processes", "all", "--error-exitcode", "9")
COMPLAINTS = re.compile(
    r"(FAILED|ERROR) |========= (Invalid|Error:|.*ERROR SUMMARY: [1-9])|.* failed: "
)
MOST_LINES, MOST_COLUMNS = 12, 160  # of complaints that are printed
GRACE = 10.0  # seconds in which a stage that is stopped says what it found


@dataclass(frozen=True)
class Stage:
    """A command, its share of the minutes, and what it needs in the environment."""

    name: str
    command: tuple[str, ...]
    share: float
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: passed, failed, ran out of time, or was left out, and why; and the first
    lines of its output that complain."""

    name: str
    result: str
    seconds: float
    last_line: str
    complaints: tuple[str, ...] = ()


def stages(folder: Path) -> list[Stage]:
    """All of them, in order."""
    # without CuPy's pool each array is an allocation of its own, whose end the sanitizer knows
    apart = {"MINAE_WITHOUT_POOL": "1", **ONE_THREAD}
    return [
        Stage(
            "products",
            (*GPU, "--parts", "m6,products", "--json", str(folder / "products.json")),
            0.15,
        ),
        Stage(
            "trajectories",
            (*PYTEST, *WORKERS, "tests/test_gpu.py", "-k", TRAINED),
            0.2,
            ONE_THREAD,
        ),
        Stage(
            "suite",
            (*PYTEST, *WORKERS, "tests", "-k", f"(cupy or gpu or cublas) and not ({TRAINED})"),
            0.25,
            ONE_THREAD,
        ),
        Stage(
            "steps",
            (
                *GPU,
                *("--parts", "steps", "--rivals", "eager,fused,graph"),
                *("--json", str(folder / "steps.json")),
            ),
            0.25,
        ),
        Stage(
            "memcheck",
            (
                *SANITIZER,
                *("--tool", "memcheck"),
                *PYTEST,
                *("tests/test_operations.py", "tests/test_gpu.py", "-k", "cupy or replaying"),
            ),
            0.2,
            apart,
        ),
        Stage(
            "racecheck",
            (
                *SANITIZER,
                *("--tool", "racecheck"),
                *PYTEST,
                *("tests/test_operations.py", "-k", f"cupy and ({SHARED})"),
            ),
            0.2,
            apart,
        ),
    ]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m bench.gpu_check",
        description="Test and time minae on this machine's GPU.",
        allow_abbrev=False,
    )
    p.add_argument("--out", type=Path, default=Path("gpu-check"), metavar="DIR")
    p.add_argument("--minutes", type=float, default=9.0, metavar="N", help="for all together")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        card = get_backend("cupy").device_name()
        options.out.mkdir(parents=True, exist_ok=True)
    except (MinaeError, OSError) as error:
        print(f"minae: {error}", file=sys.stderr)
        return 2
    machine = {"card": card, **versions()}
    print(*machine.values(), sep=", ", flush=True)
    outcomes = run(stages(options.out.resolve()), options.out, 60 * options.minutes, machine)
    return 0 if all(outcome.result == "passed" for outcome in outcomes) else 1


def versions() -> dict[str, str]:
    """Of what takes part."""
    runtime = importlib.import_module("cupy").cuda.runtime
    found = {"driver": f"driver for CUDA {runtime.driverGetVersion()}"}
    for package in ("cupy", "torch", "numpy"):
        for name in importlib.metadata.packages_distributions().get(package, ())[:1]:
            found[package] = f"{name} {importlib.metadata.version(name)}"
    return found


def run(
    wanted: Sequence[Stage], folder: Path, seconds: float, machine: dict[str, str]
) -> list[Outcome]:
    """Each stage in turn; none longer than its share of the seconds, nor than what is left."""
    end, outcomes = time.monotonic() + seconds, []
    for stage in wanted:
        limit = min(stage.share * seconds, end - time.monotonic())
        outcomes.append(run_one(stage, folder / f"{stage.name}.txt", limit))
        last = outcomes[-1]
        print(f"{last.name}: {last.result}, {last.seconds:.0f} s: {last.last_line}", flush=True)
        for complaint in last.complaints:
            print(f"    {complaint}", flush=True)
        summary = {**machine, "stages": [asdict(outcome) for outcome in outcomes]}
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    return outcomes


def run_one(stage: Stage, file: Path, limit: float) -> Outcome:
    """The command's outcome; its output goes to `file`."""
    if limit <= 0:
        return Outcome(stage.name, "left out", 0.0, "no time was left")
    program = _program(stage.command[0])
    if program is None:
        return Outcome(stage.name, "left out", 0.0, f"{stage.command[0]} is not installed")
    begin = time.monotonic()
    with file.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [program, *stage.command[1:]],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **stage.environment},
            start_new_session=True,
        )
        try:
            code = process.wait(max(limit - GRACE, limit / 2))
            result = "passed" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            result = "ran out of time"
            os.killpg(process.pid, signal.SIGINT)  # pytest then says what has failed so far
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(GRACE, limit / 2))
        finally:
            with suppress(ProcessLookupError):  # its children too; also after Ctrl-C, which its
                os.killpg(process.pid, signal.SIGKILL)  # own session does not hear
            process.wait()
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    last_line = next((line for line in reversed(lines) if line.strip()), "")
    complaints = [line[:MOST_COLUMNS] for line in lines if COMPLAINTS.match(line)]
    seconds = time.monotonic() - begin
    return Outcome(stage.name, result, seconds, last_line, tuple(complaints[:MOST_LINES]))


def _program(name: str) -> str | None:
    """Its path; the sanitizer stands in CUDA's own folder too."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


if __name__ == "__main__":
    sys.exit(main())
