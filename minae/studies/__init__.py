"""The studies by name: what takes several trainings to see. `python -m minae.train NAME` runs them.

Each module holds one function, `study(run)`, which trains what it needs with `run.fit`, writes its
pictures to `run.folder` and returns its figures for summary.json. One that makes its own data says
READS_DATA = False.
"""

import argparse
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minae.backends import get_backend
from minae.backends.spec import Array, Backend
from minae.datasets import ImageSet, download, load_images
from minae.errors import MinaeError
from minae.recipes import STUDIES, Recipe
from minae.run import default_folder, new_folder, versions, write_json
from minae.threads import Threads
from minae.training import Training

__all__ = ["STUDIES", "Run", "run", "summary"]


@dataclass
class Run:
    """What a study works with: data, backend, options, and the folder for its pictures."""

    ops: Backend
    dtype: str
    data: ImageSet
    folder: Path
    epochs: int | None  # what the user asks for instead of the study's own number
    seed: int
    seeds: int
    quiet: bool

    def fit(self, name: str, recipe: Recipe, images: Array, labels: Array | None = None) -> float:
        """Train a recipe in full, its model bound already or not; returns the seconds it took."""
        if not hasattr(recipe.model, "parameters"):
            recipe.model.bind(self.ops, self.dtype, recipe.seed)
        training = Training(
            recipe.model,
            recipe.optimizer,
            images,
            labels,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            shuffle=recipe.shuffle,
        )
        steps = recipe.steps or (recipe.epochs or 1) * training.steps_per_epoch
        begin = time.perf_counter()
        for _ in range(steps):
            training.step()
        training.loss()  # raises if it is not finite
        seconds = time.perf_counter() - begin
        self.say(f"{name}: {steps:,} steps in {seconds:.1f} s")
        return seconds

    def say(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)


def summary(name: str) -> str:
    """The first line of the study's docstring."""
    return (_module(name).__doc__ or "").split("\n")[0]


def run(options: argparse.Namespace) -> None:
    """Run the study that the options of `python -m minae.train` name and write its folder."""
    others = ("steps", "batch_size", "lr", "latent", "faithful", "samples", "factor", "resume")
    for option in (*others, "tf32"):
        if getattr(options, option):
            raise MinaeError(
                f"{options.recipe} trains several models and has no option "
                f"--{option.replace('_', '-')}"
            )
    study_of = _module(options.recipe)
    if not getattr(study_of, "READS_DATA", True) and (options.data or options.download):
        raise MinaeError(f"{options.recipe} makes its own points and takes no images")
    ops = get_backend(options.backend)
    data = load_images(download(options.download) if options.download else options.data)
    threads = Threads(ops, options.threads)
    folder = options.out or default_folder(options.recipe)
    with new_folder(folder), np.errstate(over="ignore", invalid="ignore"):
        study = Run(
            ops,
            options.dtype,
            data,
            folder,
            options.epochs,
            options.seed or 0,
            seeds=3,
            quiet=options.quiet,
        )
        study.say(f"{options.recipe}: {data.name}, {ops.name} on {ops.device_name()}")
        begin = time.perf_counter()
        figures: dict[str, Any] = study_of.study(study)
        write_json(
            folder / "summary.json",
            {
                "study": options.recipe,
                "backend": ops.name,
                "dtype": options.dtype,
                "seed": study.seed,
                "data": data.name,
                "device": ops.device_name(),
                "threads": threads.count,
                "versions": versions(),
                "seconds": time.perf_counter() - begin,
                **figures,
            },
        )
    print(folder if options.quiet else f"pictures and figures: {folder}")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"minae.studies.{name.replace('-', '_')}")
