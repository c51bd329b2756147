"""One training in a process of its own: when its first step was done, and its peak memory.

    python -m bench.probe MODEL BATCH_SIZE CONTENDER [--threads N] [--lean]

prints {"first_step_s": ..., "peak_mb": ...}: seconds from the start of the process, imports and
data included, to the end of the first step; memory after ten steps.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.models import BACKENDS, MODELS, Entry, mnist, ours
from bench.timing import Contender
from minae.threads import cores

STEPS = 10


def probe(
    label: str,
    batch_size: int,
    contender: str,
    *,
    threads: int,
    lean: bool = False,
    kernels: str | None = None,
) -> dict[str, float]:
    """The figures of one training; `kernels` is the folder in which Numba keeps its kernels."""
    command = [sys.executable, "-m", "bench.probe", label, str(batch_size), contender]
    command += ["--threads", str(threads), "--begin", repr(time.time())] + lean * ["--lean"]
    environment = os.environ | ({"NUMBA_CACHE_DIR": kernels} if kernels else {})
    folder = Path(__file__).parents[1]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(label: str, batch_size: int, rival: str, threads: int) -> dict[str, dict[str, float]]:
    """Figures of the backends and a rival by key of the benchmark's rows, {backend: {key: ...}}.

    A cold start compiles every kernel; its peak memory is that of the compiler.
    """
    theirs = probe(label, batch_size, rival, threads=threads)
    shared = {
        "rival_peak_mb": theirs["peak_mb"],
        "rival_first_step_s": theirs["first_step_s"],
    }
    if rival != "jax":
        lean = probe(label, batch_size, rival, threads=threads, lean=True)
        shared["rival_lean_peak_mb"] = lean["peak_mb"]
    figures = {}
    for backend in BACKENDS:
        with tempfile.TemporaryDirectory() as kernels:
            cold, cached = (
                probe(label, batch_size, backend, threads=threads, kernels=kernels)
                for _ in range(2)
            )
        figures[backend] = shared | {
            "peak_mb": cached["peak_mb"],
            "peak_cold_mb": cold["peak_mb"],
            "first_step_cold_s": cold["first_step_s"],
            "first_step_cached_s": cached["first_step_s"],
        }
    return figures


def peak_mb() -> float:
    """Most memory that this process has held, in MB (10⁶ bytes).

    On Linux ru_maxrss would count what the parent process held when it started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def _contender(entry: Entry, options: argparse.Namespace) -> Contender:
    """Imports the library of this contender and no other."""
    if options.contender in BACKENDS:
        return ours(entry, options.contender, options.batch_size)
    if options.contender == "jax":
        from bench import rivals_jax

        return rivals_jax.theirs(entry, options.batch_size)
    from bench import rivals

    return rivals.theirs(entry, options.contender, options.batch_size, lean=options.lean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("batch_size", type=int)
    parser.add_argument("contender")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--lean", action="store_true", help="a rival keeps its images as bytes")
    parser.add_argument("--begin", type=float, default=time.time(), help="when the process began")
    options = parser.parse_args()
    contender = _contender(MODELS[options.model], options)
    mnist.cache_clear()  # who made another array of the images need not hold these as well
    contender.set_threads(options.threads)
    contender.step()
    first_step = time.time() - options.begin
    for _ in range(STEPS - 1):
        contender.step()
    print(json.dumps({"first_step_s": first_step, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
