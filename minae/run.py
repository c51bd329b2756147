"""The run folder: built beside its place under another name, moved there when it is whole."""

import csv
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import minae
from minae.errors import MinaeError

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
        with path.open("w", newline="", encoding="utf-8") as file:
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
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder` at the end; on any error it is removed.

    Raises MinaeError if `folder` holds something already or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MinaeError(f"{folder} exists already; name another with --out or remove it")
    missing = [parent for parent in folder.parents if not parent.exists()]
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        try:
            unfinished.mkdir(parents=True)
        except OSError as error:
            raise MinaeError(
                f"cannot write to {folder} ({error.strerror}); name another folder with --out"
            ) from error
        yield unfinished
        if folder.is_dir():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        for parent in missing:  # innermost first; only those made here, and only if empty
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of all that a run's numbers may depend on."""
    found = {"minae": minae.__version__, "python": platform.python_version()}
    for package in ("numpy", "numba", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
