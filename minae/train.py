"""The main job: train a recipe, show what was reached, keep the model.

python -m minae.train [RECIPE] [options]; see --help and --list.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minae import detection, ledger, recipes
from minae.architecture import describe
from minae.backends import PACKAGES, get_backend
from minae.datasets import AnomalySet, Dataset, download, load_images
from minae.errors import MinaeError
from minae.figures import write_figures
from minae.io import save
from minae.models import Model, SuperResolution
from minae.optim import Optimizer
from minae.progress import Progress
from minae.recipes import Recipe
from minae.run import Metrics, default_folder, new_folder, versions, write_json
from minae.threads import Threads
from minae.training import Training, average_loss


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise MinaeError(f"{message} (see --help)")


def parser() -> argparse.ArgumentParser:
    p = _Parser(
        prog="python -m minae.train",
        description="Train an autoencoder and write pictures, figures and the model to a folder.",
        allow_abbrev=False,
    )
    p.add_argument("recipe", nargs="?", default="vae", help="what to train (default: vae)")
    p.add_argument("--list", action="store_true", help="list the recipes and stop")
    p.add_argument("--backend", default="auto", choices=("auto", *sorted(PACKAGES)))
    p.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    length = p.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=_whole(1), metavar="N", help="passes over the data")
    length.add_argument("--steps", type=_whole(1), metavar="N", help="optimizer steps instead")
    p.add_argument("--batch-size", type=_whole(1), metavar="N")
    p.add_argument("--lr", type=_positive, metavar="X", help="learning rate")
    p.add_argument("--seed", type=_whole(0, 2**64 - 1), metavar="N")
    p.add_argument("--latent", type=_whole(1, 4096), metavar="N", help="size of the code")
    p.add_argument("--factor", type=_whole(2, 4), metavar="N", help="super-resolution: 2 or 4")
    p.add_argument(
        "--faithful", action="store_true", help="cvae: the source page's decoder, mistake included"
    )
    source = p.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="images (IDX, .npy, .npz), UCR series, NSL-KDD or CSV records, as the recipe takes "
        "them (default: MNIST in the box, or data made here)",
    )
    source.add_argument(
        "--download", metavar="NAME", help="fetch images: fashion-mnist, kmnist, emnist-letters ..."
    )
    p.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/RECIPE-DATE)")
    p.add_argument(
        "--threads",
        type=_whole(1),
        metavar="N",
        help="CPU threads (default: all cores, or one while the machine is busy)",
    )
    p.add_argument("--quiet", action="store_true", help="print the run folder and nothing else")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    try:
        options = parser().parse_args(arguments)
        if options.list:
            for name in recipes.RECIPES:
                print(recipes.summary(name))
        else:
            train(options)
        sys.stdout.flush()
    except MinaeError as error:
        print(f"minae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minae: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def train(options: argparse.Namespace) -> None:
    """Train as the options say and write the run folder."""
    known = recipes.options(options.recipe)
    ops = get_backend(options.backend)
    data = _load(options)
    given = {"latent": options.latent, "faithful": options.faithful, "factor": options.factor}
    wanted = {name: value for name, value in given.items() if value}
    wanted |= {name: value for name, value in data.dimensions.items() if name in known}
    recipe = _with_options(recipes.make(options.recipe, **wanted), options)
    threads = Threads(ops, options.threads)
    folder = options.out or default_folder(options.recipe)
    # a diverging run is reported by its loss, not by a warning of each operation
    with new_folder(folder) as unfinished, np.errstate(over="ignore", invalid="ignore"):
        model = recipe.model.bind(ops, options.dtype, recipe.seed)
        if not options.quiet:
            print(
                f"{options.recipe}: {model.parameters.count:,} parameters, {data.name}, "
                f"{ops.name} {options.dtype} on {ops.device_name()}, threads: {threads.count}"
            )
        metrics, steps, samples, seconds = _fit(recipe, data, threads, quiet=options.quiet)
        summary = {
            "recipe": options.recipe,
            "backend": ops.name,
            "dtype": options.dtype,
            "seed": recipe.seed,
            "data": data.name,
            "device": ops.device_name(),
            "threads": threads.count,
            "versions": versions(),
            "parameters": model.parameters.count,
            "steps": steps,
            "seconds": seconds,
            "samples_per_second": samples / seconds,
            "test": model.evaluate(data.test_images, _labels(model, data.test_labels)),
            "train": model.evaluate(data.train_images, _labels(model, data.train_labels)),
            **_comparisons(model, data),
        }
        write_json(unfinished / "config.json", _config(options, recipe, data))
        metrics.write(unfinished / "metrics.csv")
        write_json(unfinished / "summary.json", summary)
        save(model, unfinished / "model.safetensors")
        write_figures(unfinished / "figures", model, data, metrics, options.recipe)
    if options.quiet:
        print(folder)
    else:
        print(f"\n{ledger.table(summary)}\n")
        if "anomalies" in summary:
            print(f"{detection.table(summary['anomalies'])}\n")
        print(f"{steps:,} steps in {seconds:.1f} s ({samples / seconds:,.0f} samples/s)")
        print(f"pictures, figures and model: {folder}")


def _comparisons(model: Model, data: Dataset) -> dict[str, Any]:
    """What the model's figures are held against: its baselines, or labelled anomalies."""
    if isinstance(data, AnomalySet) and isinstance(model, detection.Detector):
        return {"anomalies": detection.report(model, data)}
    if isinstance(model, SuperResolution):
        return {}  # bicubic stands among its own figures
    return {"baselines": ledger.baselines(data.train_images, data.test_images, model.code)}


def _load(options: argparse.Namespace) -> Dataset:
    """The recipe's data: those of --data or --download, or else its own."""
    load = recipes.loader(options.recipe) or load_images
    if options.download is None:
        return load(options.data)
    if load is not load_images:
        raise MinaeError(f"recipe {options.recipe!r} is not trained on images: give --data instead")
    return load(download(options.download))


def _fit(
    recipe: Recipe, data: Dataset, threads: Threads, *, quiet: bool
) -> tuple[Metrics, int, int, float]:
    """Train; returns the metrics, the steps taken, the samples seen, and seconds spent training."""
    model, metrics = recipe.model, Metrics()
    training = Training(
        model,
        recipe.optimizer,
        data.train_images,
        _labels(model, data.train_labels),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        shuffle=recipe.shuffle,
    )
    steps = recipe.steps or (recipe.epochs or 1) * training.steps_per_epoch
    seen = epoch_seen = 0
    seconds = 0.0
    with Progress(steps, model.loss.unit, quiet=quiet) as progress:
        begin = time.perf_counter()
        for step in range(1, steps + 1):
            step_begin = time.perf_counter()
            cache = training.step()
            if threads.watch(time.perf_counter() - step_begin):
                progress.say("the machine is busy: going on with one thread")
            epoch_seen += len(cache.pixels)
            progress.step(training)
            if not (training.at_epoch_end or step == steps):
                continue
            training.loss()  # raises if it is not finite
            losses = training.averages()
            epoch_seconds = time.perf_counter() - begin
            seconds, seen = seconds + epoch_seconds, seen + epoch_seen
            epoch = training.epoch + 1
            metrics.add(epoch, step, "train", losses, epoch_seconds, epoch_seen)
            begin = time.perf_counter()
            test = average_loss(model, data.test_images, _labels(model, data.test_labels))
            test_seconds = time.perf_counter() - begin
            metrics.add(epoch, step, "test", test, test_seconds, len(data.test_images))
            progress.epoch(epoch, step, losses["loss"], test["loss"], epoch_seen / epoch_seconds)
            begin, epoch_seen = time.perf_counter(), 0
    return metrics, steps, seen, seconds


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
    return {
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
        "threads": options.threads,
        "data": data.name,
        "optimizer": _optimizer(recipe.optimizer),
        "model": describe(recipe.model),
    }


def _optimizer(optimizer: Optimizer) -> dict[str, Any]:
    values = {f.name: getattr(optimizer, f.name) for f in fields(optimizer) if f.init}
    values["schedule"] = repr(optimizer.schedule)
    return {"type": type(optimizer).__name__, **values}


def _whole(least: int, most: int | None = None):  # type: ignore[no-untyped-def]
    """Parser of a whole number in [least, most]."""

    def parse(text: str) -> int:
        wanted = f"a whole number from {least}" + (f" to {most}" if most else " up")
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from None
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    return parse


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
