"""Train the recipes in full on both CPU backends and compare with the figures they must reach.

    python -m bench.must_show [--backend numpy|numba] [--only WORD]

takes about twenty minutes on two cores and prints one line a run. Repair needs OpenCV (`pip install
"minae[cv]"`). The same runs are the slow tests (`pytest -m slow`). `--only contraction` (or repair,
hinton, ...) makes one of them.
The ordering of importance-weighted models is `python -m bench.iwae`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from bench import inpainting
from minae import load, load_images
from minae.models import Autoencoder, DenoisingAutoencoder
from minae.models.contractive import jacobian_norms
from minae.train import main as train


@dataclass(frozen=True)
class Target:
    """A run of `python -m minae.train`, one of its figures, and where that must lie."""

    arguments: str
    split: str
    figure: str
    low: float
    high: float
    backends: tuple[str, ...] = ("numpy", "numba")


NUMBA = ("numba",)  # of runs that take NumPy many minutes
TARGETS = (
    Target("vanilla --seed 123", "test", "bce_per_pixel", 0.0, 0.0950),
    Target("deep --steps 20000", "train", "mse_per_pixel", 0.0, 0.0042),
    Target("latent --latent 2", "test", "mse_per_pixel", 0.0, 0.0420),
    Target("latent --latent 50", "test", "mse_per_pixel", 0.0, 0.0119),
    Target("cvae --epochs 5", "test", "nats_per_image", 0.0, 110.0),
    Target("cvae --faithful --epochs 5", "test", "nats_per_image", 130.0, 150.0),
    Target("pca", "test", "squared_error_per_image", 13.855, 13.875),  # PCA-30: 13.87
    Target("hinton", "test", "squared_error_per_image", 0.0, 4.0, NUMBA),
)


@dataclass(frozen=True)
class Finding:
    """A figure that comes out of more than one run, and where it must lie."""

    run: str
    figure: str
    value: float
    low: float
    high: float
    seconds: float


@contextmanager
def trained(arguments: str, backend: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The run folder of one training, and its summary."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        code = train([*arguments.split(), "--backend", backend, "--out", str(run)])
        if code:
            sys.exit(code)
        yield run, json.loads((run / "summary.json").read_text())


def reached(target: Target, backend: str) -> tuple[float, float]:
    """(the figure, seconds of training) of one run."""
    with trained(target.arguments, backend) as (_, summary):
        return summary[target.split][target.figure], summary["seconds"]


def contraction(backend: str) -> Iterator[Finding]:
    """The Jacobian and the error of contractive against those of tanh, trained as long."""
    test_images = load_images().test_images
    with trained("tanh --epochs 300", backend) as (run, summary):
        plain_error, seconds = summary["test"]["mse_per_pixel"], summary["seconds"]
        model = load(run, backend)
        assert isinstance(model, Autoencoder)
        plain_norm = float(jacobian_norms(model, test_images).mean())
    with trained("contractive", backend) as (_, summary):
        norm, error = (summary["test"][key] for key in ("jacobian_norm", "mse_per_pixel"))
        seconds += summary["seconds"]
    what = "times smaller mean norm of the Jacobian, test"
    run_names = f"contractive ({norm:.3f}) and tanh --epochs 300 ({plain_norm:.3f})"
    yield Finding(run_names, what, plain_norm / norm, 5.0, inf, seconds)
    run_names = f"contractive ({error:.5f}) and tanh --epochs 300 ({plain_error:.5f})"
    yield Finding(run_names, "MSE of the one over that of the other, test", error / plain_error,
                  0.0, 1.1, seconds)  # fmt: skip


def repair(backend: str) -> Iterator[Finding]:
    """PSNR of both denoising recipes above the better of two classical methods."""
    for name in ("denoising", "conv-denoising"):
        with trained(name, backend) as (run, summary):
            model = load(run, backend)
            assert isinstance(model, DenoisingAutoencoder)
            psnr, _ = inpainting.compare(model, load_images().test_images)
        best = max(psnr["Telea"], psnr["Navier-Stokes"])
        what = f"dB more than {best:.2f}, the better classical method, known pixels kept"
        ours = psnr["model, known pixels kept"]
        yield Finding(f"{name} ({ours:.2f})", what, ours - best, 0.0, inf, summary["seconds"])


COMPARISONS = (contraction, repair)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", choices=("numpy", "numba"), help="one only (default: both)")
    parser.add_argument("--only", default="", metavar="WORD", help="runs whose name has it")
    options = parser.parse_args()
    chosen = options.backend
    wanted = [comparison for comparison in COMPARISONS if options.only in comparison.__name__]
    if chosen != "numpy" and repair in wanted and find_spec("cv2") is None:  # not after ten minutes
        parser.error('repair needs OpenCV, which is not installed: pip install "minae[cv]"')
    lines = ["| run | backend | figure | reached | wanted | s |", "|---|---|---|---|---|---|"]
    for target in TARGETS:
        for backend in target.backends:
            if chosen not in (None, backend) or options.only not in target.arguments:
                continue
            value, seconds = reached(target, backend)
            verdict = "" if target.low <= value <= target.high else " (missed)"
            lines.append(
                f"| {target.arguments} | {backend} | {target.split} {target.figure} | "
                f"{value:.5g}{verdict} | {target.low:g} … {target.high:g} | {seconds:.1f} |"
            )
    if chosen != "numpy":
        for finding in (finding for comparison in wanted for finding in comparison("numba")):
            verdict = "" if finding.low <= finding.value <= finding.high else " (missed)"
            lines.append(
                f"| {finding.run} | numba | {finding.figure} | {finding.value:.4g}{verdict} | "
                f"{finding.low:g} … {finding.high:g} | {finding.seconds:.1f} |"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
