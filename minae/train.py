"""The main job: train a recipe, show what was reached, keep the model.

python -m minae.train [RECIPE] [options]; see --help and --list.
"""

import argparse
import json
import sys
import time
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from minae import checkpoint, command, detection, ledger, recipes, studies
from minae.architecture import describe
from minae.backends import PACKAGES, get_backend
from minae.backends.spec import Backend
from minae.checkpoint import Checkpoint, Counts
from minae.datasets import AnomalySet, Dataset, ImageSet, download
from minae.errors import MinaeError
from minae.figures import write_figures
from minae.interrupt import Interrupt
from minae.io import save
from minae.models import Model, SuperResolution
from minae.optim import Optimizer
from minae.progress import Progress
from minae.recipes import Recipe
from minae.run import (
    CHECKPOINT,
    CONFIG,
    Metrics,
    default_folder,
    is_unfinished,
    new_folder,
    versions,
    write_json,
)
from minae.threads import Threads
from minae.training import Training, average_loss

CHECKPOINT_EVERY = 30.0  # seconds
# not argparse's, so that what is given beside --resume can be told
DEFAULTS = {"recipe": "vae", "backend": "auto", "dtype": "float32"}
NOT_KEPT = {"list", "out", "quiet", "resume"}  # options that a run goes on without


def parser() -> argparse.ArgumentParser:
    p = command.Parser(
        prog="python -m minae.train",
        description="Train an autoencoder and write pictures, figures and the model to a folder.",
        allow_abbrev=False,
    )
    p.add_argument("recipe", nargs="?", help="what to train (default: vae)")
    p.add_argument("--list", action="store_true", help="list the recipes and stop")
    p.add_argument("--backend", choices=("auto", *sorted(PACKAGES)), help="(default: auto)")
    p.add_argument("--dtype", choices=("float32", "float64"), help="(default: float32)")
    p.add_argument(
        "--tf32", action="store_true", help="cupy: round the factors of matrix products to TF32"
    )
    length = p.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=command.whole(1), metavar="N", help="passes over the data")
    length.add_argument(
        "--steps", type=command.whole(1), metavar="N", help="optimizer steps instead"
    )
    p.add_argument("--batch-size", type=command.whole(1), metavar="N")
    p.add_argument("--lr", type=command.positive, metavar="X", help="learning rate")
    p.add_argument("--seed", type=command.whole(0, 2**64 - 1), metavar="N")
    p.add_argument("--latent", type=command.whole(1, 4096), metavar="N", help="size of the code")
    p.add_argument(
        "--samples", type=command.whole(1, 5000), metavar="N", help="iwae: draws of z an image"
    )
    p.add_argument(
        "--factor", type=command.whole(2, 4), metavar="N", help="super-resolution: 2 or 4"
    )
    p.add_argument(
        "--faithful", action="store_true", help="cvae: the source page's decoder, mistake included"
    )
    source = p.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="images (IDX, .npy, .npz), UCR series, NSL-KDD, KDD'99 or CSV records, text maps, as "
        "the recipe takes them (default: MNIST in the box, or data made here)",
    )
    source.add_argument(
        "--download", metavar="NAME", help="fetch images: fashion-mnist, kmnist, emnist-letters ..."
    )
    p.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/RECIPE-DATE)")
    p.add_argument(
        "--threads",
        type=command.whole(1),
        metavar="N",
        help="CPU threads (default: all cores, or one while the machine is busy)",
    )
    p.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with an unfinished run as if it had never stopped; takes no other options",
    )
    p.add_argument("--quiet", action="store_true", help="print the run folder and nothing else")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    return command.run(parser(), _main, arguments)


def _main(options: argparse.Namespace) -> None:
    if options.resume is None:
        for name, value in DEFAULTS.items():
            setattr(options, name, getattr(options, name) or value)
    if options.list:
        for name in recipes.RECIPES:
            print(recipes.summary(name))
        for name in studies.STUDIES:
            print(studies.summary(name))
    elif options.recipe in studies.STUDIES:
        studies.run(options)
    else:
        train(options)


def train(options: argparse.Namespace) -> None:
    """Train as the options say, or go on with --resume, and fill the run folder."""
    folder, begun, config = options.resume, None, None
    if folder is not None:
        begun, config = checkpoint.read(folder)
        options = _as_begun(options, config["options"])
    known = recipes.options(options.recipe)
    ops = get_backend(options.backend)
    _allow_tf32(ops, options)
    data = _load(options)
    given = {name: getattr(options, name) for name in ("latent", "faithful", "samples", "factor")}
    wanted = {name: value for name, value in given.items() if value}
    wanted |= {name: value for name, value in data.dimensions.items() if name in known}
    recipe = _with_options(recipes.make(options.recipe, **wanted), options)
    samples = len(data.train_images)
    if recipe.batch_size > samples:
        if not options.quiet:
            print(
                f"batches of {samples:,}, all {data.samples} there are, instead of "
                f"{recipe.batch_size:,}"
            )
        recipe.batch_size = samples
    # the trial that chooses the threads is not made again: it might choose another number
    threads = Threads(ops, options.threads if begun is None else begun.threads)
    model = recipe.model.bind(ops, options.dtype, recipe.seed)
    if config is None:
        folder = options.out or default_folder(options.recipe)
        config = _config(options, recipe, data)
    else:
        _check_unchanged(config, _config(options, recipe, data), folder)
    # a diverging run is reported by its loss, not by a warning of each operation
    with Interrupt() as interrupt, np.errstate(over="ignore", invalid="ignore"):
        try:
            with new_folder(folder) if begun is None else nullcontext():
                write_json(folder / CONFIG, config)
                if not options.quiet:
                    print(
                        f"{options.recipe}: {model.parameters.count:,} parameters, {data.name}, "
                        f"{ops.name} {options.dtype}{' with TF32' * options.tf32} "
                        f"on {ops.device_name()}, "
                        f"threads: {threads.count}"
                        + (f", from step {begun.counts.step:,}" if begun else "")
                    )
                run = _Run(recipe, data, threads, folder, begun, quiet=options.quiet)
                run.fit(interrupt)
                summary = _summary(options, recipe, data, run)
                run.metrics.write(folder / "metrics.csv")
                save(model, folder / "model.safetensors")
                write_figures(folder / "figures", model, data, run.metrics, options.recipe)
                write_json(folder / "summary.json", summary)
            (folder / CHECKPOINT).unlink()  # out of reach of what removes a run without one
        except KeyboardInterrupt as stop:
            if not is_unfinished(folder):
                if (folder / "summary.json").is_file():
                    raise KeyboardInterrupt(f"interrupted; {folder} is finished") from stop
                raise
            step = checkpoint.read(folder)[0].counts.step
            raise KeyboardInterrupt(
                f"interrupted; {folder} is saved at step {step:,}, "
                f"go on with: python -m minae.train --resume {folder}"
            ) from stop
    if options.quiet:
        print(folder)
    else:
        steps, seconds, rate = run.counts.step, summary["seconds"], summary["samples_per_second"]
        print(f"\n{ledger.table(summary, data.say)}\n")
        if "anomalies" in summary:
            print(f"{detection.table(summary['anomalies'])}\n")
        print(f"{steps:,} steps in {seconds:.1f} s ({rate:,.0f} samples/s)")
        print(f"pictures, figures and model: {folder}")


def _allow_tf32(ops: Backend, options: argparse.Namespace) -> None:
    """What --tf32 asks for, and nothing without it. Raises MinaeError where it means nothing."""
    if options.tf32 and options.dtype != "float32":
        raise MinaeError(f"--tf32 is for --dtype float32, found {options.dtype}")
    ops.set_tf32(options.tf32)


def _comparisons(model: Model, data: Dataset) -> dict[str, Any]:
    """What the model's figures are held against: its baselines, or labelled anomalies."""
    if isinstance(data, AnomalySet) and isinstance(model, detection.Detector):
        return {"anomalies": detection.report(model, data)}
    if isinstance(model, SuperResolution):
        return {}  # bicubic stands among its own figures
    return {"baselines": ledger.baselines(data.train_images, data.test_images, model.code)}


def _load(options: argparse.Namespace) -> Dataset:
    """The recipe's data: those of --data or --download, or else its own."""
    kind = recipes.data(options.recipe)
    if options.download is None:
        return kind.load(options.data)
    if kind is not ImageSet:
        raise MinaeError(f"recipe {options.recipe!r} is not trained on images: give --data instead")
    return kind.load(download(options.download))


class _Run:
    """The training of one run folder, from its beginning or from its checkpoint."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        threads: Threads,
        folder: Path,
        begun: Checkpoint | None,
        *,
        quiet: bool,
    ) -> None:
        self.model, self.data, self.threads, self.folder = recipe.model, data, threads, folder
        self.quiet = quiet
        self.training = Training(
            recipe.model,
            recipe.optimizer,
            data.train_images,
            _labels(recipe.model, data.train_labels),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            shuffle=recipe.shuffle,
        )
        self.steps = recipe.steps or (recipe.epochs or 1) * self.training.steps_per_epoch
        self.counts, self.metrics = Counts(), Metrics()
        if begun is not None:
            self.counts, self.metrics = begun.counts, begun.metrics
            self.training.restore(begun.arrays, begun.training)

    def fit(self, interrupt: Interrupt) -> None:
        """Train to the last step; a checkpoint at the beginning, at the end, every CHECKPOINT_EVERY
        seconds between, and where an interrupt is requested, which then becomes KeyboardInterrupt.
        """
        self.save()
        unit = self.data.say(self.model.loss.unit)
        progress = Progress(self.steps, unit, quiet=self.quiet)
        with progress, interrupt.deferred():
            progress.begin_at(self.counts.step)
            while self.counts.step < self.steps and not interrupt.requested:
                self.step(progress)
                if time.perf_counter() - self.saved > CHECKPOINT_EVERY:
                    self.save()
            self.save()
        if interrupt.requested:
            raise KeyboardInterrupt

    def step(self, progress: Progress) -> None:
        """One step, and at the end of an epoch its figures."""
        counts, training = self.counts, self.training
        begin = time.perf_counter()
        cache = training.step()
        seconds = time.perf_counter() - begin
        if self.threads.watch(seconds):
            progress.say("the machine is busy: going on with one thread")
        counts.step += 1
        counts.epoch_samples += len(cache.pixels)
        progress.step(training)
        counts.epoch_seconds += time.perf_counter() - begin
        if training.at_epoch_end or counts.step == self.steps:
            self.end_epoch(progress)

    def end_epoch(self, progress: Progress) -> None:
        """The means of the epoch's batches and of the test set go to the metrics."""
        counts, model, data = self.counts, self.model, self.data
        begin = time.perf_counter()
        self.training.loss()  # raises if it is not finite
        losses = self.training.averages()
        seconds = counts.epoch_seconds + time.perf_counter() - begin
        samples, epoch = counts.epoch_samples, self.training.epoch + 1
        self.metrics.add(epoch, counts.step, "train", losses, seconds, samples)
        begin = time.perf_counter()
        test = average_loss(model, data.test_images, _labels(model, data.test_labels))
        test_seconds = time.perf_counter() - begin
        self.metrics.add(epoch, counts.step, "test", test, test_seconds, len(data.test_images))
        progress.epoch(epoch, counts.step, losses["loss"], test["loss"], samples / seconds)
        counts.seconds, counts.samples = counts.seconds + seconds, counts.samples + samples
        counts.epoch_samples, counts.epoch_seconds = 0, 0.0

    def save(self) -> None:
        """The checkpoint, and beside it the metrics for whoever looks on."""
        self.metrics.write(self.folder / "metrics.csv")
        checkpoint.write(self.folder, self.training, self.counts, self.metrics, self.threads.count)
        self.saved = time.perf_counter()


def _summary(
    options: argparse.Namespace, recipe: Recipe, data: Dataset, run: _Run
) -> dict[str, Any]:
    """What the run reached, and on what."""
    model, counts = recipe.model, run.counts
    return {
        "recipe": options.recipe,
        "backend": model.ops.name,
        "dtype": options.dtype,
        "tf32": options.tf32,
        "seed": recipe.seed,
        "data": data.name,
        "device": model.ops.device_name(),
        "threads": run.threads.count,
        "versions": versions(),
        "parameters": model.parameters.count,
        "steps": counts.step,
        "seconds": counts.seconds,
        "samples_per_second": counts.samples / counts.seconds,
        "test": model.evaluate(data.test_images, _labels(model, data.test_labels)),
        "train": model.evaluate(data.train_images, _labels(model, data.train_labels)),
        **_comparisons(model, data),
    }


def _as_begun(options: argparse.Namespace, begun: dict[str, Any]) -> argparse.Namespace:
    """The options that a run was begun with. Raises MinaeError if one given beside --resume says
    otherwise."""
    if missing := vars(options).keys() - NOT_KEPT - begun.keys():
        lacking = ", ".join(sorted(missing))
        raise MinaeError(f"{options.resume} was begun by a minae without {lacking}: train anew")
    for name in sorted(vars(options).keys() - {"list", "quiet", "resume"}):
        value = getattr(options, name)
        if value is None or value is False or value == "auto":
            continue
        value = str(value.resolve()) if isinstance(value, Path) else value
        if begun.get(name) != value:
            flag = name if name == "recipe" else "--" + name.replace("_", "-")
            was = "its own value" if begun.get(name) is None else begun[name]
            raise MinaeError(
                f"--resume goes on with {flag} as {options.resume} began, {was}; found {value}"
            )
    data = None if begun["data"] is None else Path(begun["data"])
    return argparse.Namespace(**begun | {"data": data, "quiet": options.quiet})


def _check_unchanged(begun: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise MinaeError if the same options mean another run than when it began."""
    odd = [name for name in now if json.loads(json.dumps(now[name])) != begun.get(name)]
    if odd:
        raise MinaeError(
            f"{folder} cannot go on as it began: {', '.join(odd)} changed since; train anew"
        )


def _labels(model: Any, labels: Any) -> Any:
    return None if model.classes is None else labels


def _with_options(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe with what the command line says instead of its own values."""
    if options.epochs or options.steps:
        recipe.epochs, recipe.steps = options.epochs, options.steps
    if options.batch_size:
        recipe.batch_size = options.batch_size
    if options.seed is not None:
        recipe.seed = options.seed
    if options.lr is not None:
        recipe.optimizer.lr = options.lr
    return recipe


def _config(options: argparse.Namespace, recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """All that is needed to do this run again."""
    given = {**vars(options), "backend": recipe.model.ops.name}
    given["data"] = None if options.data is None else str(options.data.resolve())
    for name in NOT_KEPT:
        given.pop(name, None)
    return {
        "options": given,
        "recipe": options.recipe,
        "backend": recipe.model.ops.name,
        "dtype": options.dtype,
        "epochs": recipe.epochs,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "shuffle": recipe.shuffle,
        "latent": options.latent,
        "faithful": options.faithful,
        "factor": options.factor,
        "samples": options.samples,
        "threads": options.threads,
        "data": data.name,
        "class_names": getattr(data, "class_names", None),
        "data_crc32": _crc32(data),
        "optimizer": _optimizer(recipe.optimizer),
        "model": describe(recipe.model),
    }


def _crc32(data: Dataset) -> int:
    """Of all arrays of the data set, labels and test part included."""
    crc = 0
    for field in fields(data):
        values = getattr(data, field.name)
        if isinstance(values, np.ndarray):
            crc = zlib.crc32(np.ascontiguousarray(values).data, crc)
    return crc


def _optimizer(optimizer: Optimizer) -> dict[str, Any]:
    values = {f.name: getattr(optimizer, f.name) for f in fields(optimizer) if f.init}
    values["schedule"] = repr(optimizer.schedule)
    return {"type": type(optimizer).__name__, **values}


if __name__ == "__main__":
    sys.exit(main())
