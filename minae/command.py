"""What the commands share: their parser, how they end, run folders, data in and results out."""

import argparse
import csv
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minae import plots, recipes
from minae.backends import PACKAGES
from minae.backends.spec import Array, Pair
from minae.datasets import download, load_images
from minae.errors import MinaeError, first_sentence
from minae.files import whole_file
from minae.io import load
from minae.models.model import Model


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise MinaeError(f"{message} (see --help)")


def run(
    parser: argparse.ArgumentParser,
    command: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
) -> int:
    """Run a command; returns its exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    try:
        command(parser.parse_args(arguments))
        sys.stdout.flush()
    except MinaeError as error:
        print(f"minae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"minae: {str(interrupt) or 'interrupted; nothing was written'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def parser_for(name: str, description: str, *, data: bool = True) -> Parser:
    """Parser of `python -m minae.NAME RUN`, with the options that choose samples where `data`."""
    p = Parser(prog=f"python -m minae.{name}", description=description, allow_abbrev=False)
    p.add_argument("run", type=Path, metavar="RUN", help="run folder of minae.train")
    p.add_argument("--backend", default="numpy", choices=("auto", *sorted(PACKAGES)))
    if data:
        p.add_argument(
            "--data",
            type=Path,
            metavar="PATH",
            help=".npy, .npz (images, labels) or .csv file, or folder of IDX files "
            "(default: what the run was trained on)",
        )
        p.add_argument("--split", choices=("test", "train"), default="test")
        p.add_argument(
            "--index",
            type=whole(0),
            nargs="+",
            metavar="I",
            help="these samples only, counted from 0",
        )
        p.add_argument("--first", type=whole(1), metavar="N", help="the first N samples only")
    return p


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
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


def positive(text: str) -> float:
    """Parser of a number greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0")
    return value


def output(*suffixes: str) -> Callable[[str], Path]:
    """Parser of the path of a file to write, which ends in one of these."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(f"{text} is to end in {' or '.join(suffixes)}")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"cannot write {text}: {path.parent} is no folder")
        return path

    return parse


def share(text: str) -> float:
    """Parser of a number between 0 and 1."""
    value = positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number between 0 and 1")
    return value


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples (M, D), uint8 or float in [0, 1], their labels (M,) if known, and their numbers."""

    images: Array
    labels: Array | None
    rows: Array

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> Array:
        """The samples as floats in [0, 1]."""
        return self.images / 255 if self.images.dtype == np.uint8 else self.images

    def chosen(self, which: Array) -> "Samples":
        """These of the samples: a mask or numbers."""
        labels = None if self.labels is None else self.labels[which]
        return Samples(self.images[which], labels, self.rows[which])


class Run:
    """A finished run folder: its model, and the data that it was trained on."""

    def __init__(self, folder: Path, backend: str = "numpy", dtype: Any = None) -> None:
        self.model: Any = load(folder, backend, dtype)
        self.folder = folder if folder.is_dir() else folder.parent
        try:
            text = (self.folder / "config.json").read_text(encoding="utf-8")
            self.options = json.loads(text)["options"]
        except (OSError, ValueError, LookupError):
            self.options = {"recipe": self.folder.name, "data": None}
        self.name: str = self.options["recipe"]

    def able(self, *methods: str) -> Model:
        """The model. Raises MinaeError if it lacks one of these methods."""
        for method in methods:
            if not callable(getattr(self.model, method, None)):
                raise MinaeError(
                    f"the model of {self.folder}, {type(self.model).__name__}, cannot {method}"
                )
        model: Model = self.model
        return model

    def labels(self, labels: Array | None) -> dict[str, Array | None]:
        """The labels as an argument, for models that are conditioned on them."""
        return {} if self.model.classes is None else {"labels": labels}

    @cached_property
    def data(self) -> Any:
        """The data set of the run."""
        path, name = self.options.get("data"), self.options.get("download")
        load = (recipes.loader(self.name) if self.name in recipes.RECIPES else None) or load_images
        if name is not None:
            return load(download(name))
        return load(None if path is None else Path(path))

    def part(self, split: str) -> Samples:
        """The training or the test part of the run's data."""
        images = getattr(self.data, f"{split}_images")
        return Samples(images, getattr(self.data, f"{split}_labels"), np.arange(len(images)))

    def samples(self, options: argparse.Namespace, limit: int | None = None) -> Samples:
        """What the options choose, at most the first `limit` where they leave the number open.

        Raises MinaeError if there are no such samples.
        """
        found = self.part(options.split) if options.data is None else read(options.data, options)
        if options.index is not None:
            if max(options.index) >= len(found):
                raise MinaeError(
                    f"there is no sample {max(options.index)} among {len(found)}: "
                    f"give --index 0 to {len(found) - 1}"
                )
            return found.chosen(np.array(options.index))
        first = options.first or limit
        return found if first is None else found.chosen(np.arange(min(first, len(found))))

    def image_shape(self) -> Pair:
        """(H, W) of a sample. Raises MinaeError where samples are no images."""
        shape = self.model.input_shape
        if len(shape) == 3 and shape[0] == 1:
            return int(shape[1]), int(shape[2])
        found = getattr(self.data, "image_shape", None)
        if found is not None and prod(found) == prod(shape):
            return found  # type: ignore[no-any-return]
        raise MinaeError(
            f"samples of {self.folder} have shape {tuple(shape)} and are no grey images to draw: "
            "give --out FILE.npy or FILE.csv"
        )

    def write(
        self,
        out: Path | None,
        default: str,
        array: Array,
        draw: Callable[[Path], None] | None = None,
    ) -> None:
        """Write `array` to a .npy or .csv file, or call `draw` with a .png; `default` is the name
        of the file in the run folder where `out` is not given."""
        path = out or self.folder / default
        try:
            if path.suffix == ".png":
                assert draw is not None
                draw(path)
            else:
                write_array(path, array)
        except OSError as error:
            raise MinaeError(f"cannot write {path} ({error.strerror})") from error
        print(path)

    def rows_picture(self, rows: Sequence[Array], names: Sequence[str], title: str) -> Any:
        """A function that draws these rows of images (columns, D) each, to a path."""
        columns = len(rows[0])
        return lambda path: plots.image_grid(
            path,
            np.concatenate(list(rows)),
            self.image_shape(),
            columns,
            title=f"{self.name}: {title}",
            row_labels=names,
        )


def read(path: Path, options: argparse.Namespace) -> Samples:
    """Samples from a file or a folder. Raises MinaeError if they cannot be read."""
    labels: Array | None
    if path.is_dir():
        data = load_images(path)
        images, labels = data.test_images, data.test_labels
        if options.split == "train":
            images, labels = data.train_images, data.train_labels
    else:
        images, labels = read_array(path)
    images = images.reshape(len(images), -1)
    return Samples(images, labels, np.arange(len(images)))


def read_array(path: Path) -> tuple[Array, Array | None]:
    """(array, labels or None) from a .npy, .npz or .csv file. Raises MinaeError."""
    try:
        if path.suffix == ".npy":
            array, labels = np.load(path, allow_pickle=False), None
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                names = [name for name in file.files if name != "labels"]
                if len(names) != 1 and "images" not in names:
                    raise MinaeError(f"{path} is to hold the array images, found {names}")
                array = file["images" if "images" in names else names[0]]
                labels = file["labels"].astype(np.int64) if "labels" in file.files else None
        elif path.suffix == ".csv":
            with path.open(encoding="utf-8") as lines:
                first = next(csv.reader(lines), [])
            header = 0 if all(map(_is_number, first)) else 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # no lines: refused below
                array, labels = np.loadtxt(path, delimiter=",", skiprows=header, ndmin=2), None
            if header and first[0] == "label":
                array, labels = array[:, 1:], array[:, 0].astype(np.int64)
        else:
            raise MinaeError(f"{path} is to end in .npy, .npz or .csv")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, MinaeError):
            raise
        reason = getattr(error, "strerror", None) or first_sentence(error)
        raise MinaeError(f"{path} cannot be read ({reason})") from error
    if array.ndim < 2 or len(array) == 0:
        raise MinaeError(f"{path} holds an array of shape {array.shape}, wanted (M, D), M >= 1")
    return array, labels


def write_array(path: Path, array: Array, header: Sequence[str] = ()) -> None:
    """Write an array to a .npy or a .csv file, whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as file:
        if path.suffix == ".npy":
            np.save(file, array)
        else:
            rows = array.reshape(len(array), -1)
            np.savetxt(file, rows, "%.9g", ",", header=",".join(header), comments="")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
