"""The run folder: there from the start of a run, each file in it whole; unfinished while it holds
checkpoint.safetensors, from which `python -m minae.train --resume` goes on."""

import csv
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import minae
from minae.errors import Diverged, MinaeError
from minae.files import whole_file

CHECKPOINT = "checkpoint.safetensors"
CONFIG = "config.json"

COLUMNS = (
    "epoch",
    "step",
    "split",
    "loss",
    "reconstruction",
    "kl",
    "penalty",
    "seconds",
    "samples_per_second",
)


class Metrics:
    """metrics.csv: one row per epoch and split. Losses are means over the whole epoch or set."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        epoch: int,
        step: int,
        split: str,
        losses: dict[str, float],
        seconds: float,
        samples: int,
    ) -> None:
        times = {"seconds": seconds, "samples_per_second": samples / max(seconds, 1e-9)}
        self.rows.append({"epoch": epoch, "step": step, "split": split, **losses, **times})

    def series(self, split: str) -> tuple[list[float], list[float]]:
        """(epochs, losses) of one split."""
        rows = [row for row in self.rows if row["split"] == split]
        return [row["epoch"] for row in rows], [row["loss"] for row in rows]

    def write(self, path: Path) -> None:
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)


def default_folder(recipe: str) -> Path:
    """runs/RECIPE-DATE, numbered on where that second already has a run."""
    base = Path("runs") / f"{recipe}-{datetime.now():%Y-%m-%d-%H%M%S}"
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make `folder` and what is missing above it, to be filled by a run.

    On an error it is removed again, unless it holds a checkpoint that the run can go on from. After
    Diverged it could not: it would diverge again. Raises MinaeError if `folder` holds something
    already or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MinaeError(
            f"{folder} exists already; name another with --out or remove it"
            + (f", or go on with --resume {folder}" if is_unfinished(folder) else "")
        )
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MinaeError(
            f"cannot write to {folder} ({error.strerror}); name another folder with --out"
        ) from error
    try:
        yield
    except BaseException as error:
        if isinstance(error, Diverged) or not is_unfinished(folder):
            shutil.rmtree(folder, ignore_errors=True)
            for parent in missing:  # innermost first; only those made here, and only if empty
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()
        raise


def is_unfinished(folder: Path) -> bool:
    """Whether a training run in this folder has still to be finished."""
    return (folder / CHECKPOINT).is_file()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of all that a run's numbers may depend on."""
    found = {"minae": minae.__version__, "python": platform.python_version()}
    for package in ("numpy", "numba", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
