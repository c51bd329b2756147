"""Train the recipes in full on both CPU backends and compare with the figures they must reach.

    python -m bench.must_show [--backend numpy|numba]

takes about ten minutes on two cores and prints one line a run. The same runs are the slow tests
(`pytest -m slow`).
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from minae.train import main as train


@dataclass(frozen=True)
class Target:
    """A run of `python -m minae.train`, one of its figures, and where that must lie."""

    arguments: str
    split: str
    figure: str
    low: float
    high: float


TARGETS = (
    Target("vanilla --seed 123", "test", "bce_per_pixel", 0.0, 0.0950),
    Target("deep --steps 20000", "train", "mse_per_pixel", 0.0, 0.0042),
    Target("latent --latent 2", "test", "mse_per_pixel", 0.0, 0.0420),
    Target("latent --latent 50", "test", "mse_per_pixel", 0.0, 0.0119),
    Target("cvae --epochs 5", "test", "nats_per_image", 0.0, 110.0),
    Target("cvae --faithful --epochs 5", "test", "nats_per_image", 130.0, 150.0),
)


def reached(target: Target, backend: str) -> tuple[float, float]:
    """(the figure, seconds of training) of one run."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        code = train([*target.arguments.split(), "--backend", backend, "--out", str(run)])
        if code:
            sys.exit(code)
        summary = json.loads((run / "summary.json").read_text())
    return summary[target.split][target.figure], summary["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", choices=("numpy", "numba"), help="one only (default: both)")
    chosen = parser.parse_args().backend
    lines = ["| run | backend | figure | reached | wanted | s |", "|---|---|---|---|---|---|"]
    for target in TARGETS:
        for backend in (chosen,) if chosen else ("numpy", "numba"):
            value, seconds = reached(target, backend)
            verdict = "" if target.low <= value <= target.high else " (missed)"
            lines.append(
                f"| {target.arguments} | {backend} | {target.split} {target.figure} | "
                f"{value:.5g}{verdict} | {target.low:g} … {target.high:g} | {seconds:.1f} |"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
