"""What the commands share: their parser, how they end, run folders, data in and results out."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minae import plots, recipes
from minae.backends import PACKAGES
from minae.backends.spec import Array
from minae.datasets import (
    AnomalySet,
    Dataset,
    ImageSet,
    LevelSet,
    RecordSet,
    RollSet,
    SeriesSet,
    download,
)
from minae.datasets.arrays import SUFFIXES, read_array
from minae.datasets.dataset import Rows
from minae.datasets.levels import COLOURS, KINDS, drawn
from minae.errors import MinaeError
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
            help="a file or folder that the recipe is trained on (images as IDX, UCR series, "
            "NSL-KDD or CSV records, text maps), taken as the training took it, or .npy, .npz "
            "(images, labels), .csv (default: what the run was trained on)",
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
        self.config: dict[str, Any] = {}
        try:
            self.config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            self.options = self.config["options"]
        except (OSError, ValueError, LookupError):
            self.options = {"recipe": self.folder.name, "data": None}
        self.name: str = self.options["recipe"]
        self.kind: type[Dataset] = ImageSet
        if self.name in recipes.RECIPES:
            self.kind = recipes.data(self.name)

    def able(self, *methods: str) -> Model:
        """The model. Raises MinaeError if it lacks one of these methods."""
        for method in methods:
            if not callable(getattr(self.model, method, None)):
                raise MinaeError(
                    f"the model of {self.folder}, {type(self.model).__name__}, cannot {method}"
                )
        model: Model = self.model
        return model

    def of_images(self, task: str) -> type[ImageSet]:
        """The class of the run's data. Raises MinaeError where they are no images."""
        if issubclass(self.kind, ImageSet):
            return self.kind
        raise MinaeError(f"{self.folder} is of {self.kind.samples}, and only images {task}")

    def labels(self, labels: Array | None) -> dict[str, Array | None]:
        """The labels as an argument, for models that are conditioned on them."""
        return {} if self.model.classes is None else {"labels": labels}

    @cached_property
    def data(self) -> Any:
        """The data set of the run."""
        path, name = self.options.get("data"), self.options.get("download")
        if name is not None:
            return self.kind.load(download(name))
        return self.kind.load(None if path is None else Path(path))

    def part(self, split: str) -> Samples:
        """The training or the test part of the run's data."""
        images = getattr(self.data, f"{split}_images")
        return Samples(images, getattr(self.data, f"{split}_labels"), np.arange(len(images)))

    def read(self, path: Path, split: str) -> Samples:
        """The samples of a file, prepared as the training of the model prepared its own."""
        if not path.exists():
            raise MinaeError(f"{path} cannot be read (No such file or directory)")
        if path.suffix in SUFFIXES:
            found = Rows(*read_array(path, split))
        else:
            names: Sequence[str] = self.config.get("class_names") or ()
            if not names and issubclass(self.kind, AnomalySet):
                names = self.data.class_names
            found = self.kind.read(path, split, self.model, names)
        for remark in found.remarks:
            print(f"{path}: {remark}")
        images = found.images.reshape(len(found.images), -1)
        return Samples(images, found.labels, np.arange(len(images)))

    def samples(self, options: argparse.Namespace, limit: int | None = None) -> Samples:
        """What the options choose, at most the first `limit` where they leave the number open.

        Raises MinaeError if there are no such samples.
        """
        path = options.data
        found = self.part(options.split) if path is None else self.read(path, options.split)
        if options.index is not None:
            if max(options.index) >= len(found):
                raise MinaeError(
                    f"there is no {self.kind.sample} {max(options.index)} among {len(found)}: "
                    f"give --index 0 to {len(found) - 1}"
                )
            return found.chosen(np.array(options.index))
        first = options.first or limit
        return found if first is None else found.chosen(np.arange(min(first, len(found))))

    def output(self, out: Path | None, default: str) -> Path:
        """The file to write: `out`, or RUN/default with the suffix .png, .csv for records.

        Raises MinaeError for a picture of records, before anything is computed.
        """
        records = issubclass(self.kind, RecordSet)
        path = out or self.folder / f"{default}{'.csv' if records else '.png'}"
        if records and path.suffix == ".png":
            raise MinaeError(
                f"records make a table and no picture: give --out a .csv file, found {path}"
            )
        return path

    def write(
        self,
        path: Path,
        array: Array,
        rows: Sequence[Array] = (),
        names: Sequence[str] = (),
        title: str = "",
        *,
        over_each_other: bool = False,
    ) -> None:
        """Write `array` to a .npy or .csv file; to a .png, and of records to a .csv, the rows of
        samples, (columns, D) each, with their names. over_each_other: a column is one sample."""
        try:
            if path.suffix == ".png":
                self.draw(path, rows, names, title, over_each_other=over_each_other)
            elif path.suffix == ".csv" and len(rows) and issubclass(self.kind, RecordSet):
                self.write_records(path, rows, names)
            else:
                write_array(path, array)
        except OSError as error:
            raise MinaeError(f"cannot write {path} ({error.strerror})") from error
        print(path)

    def draw(
        self,
        path: Path,
        rows: Sequence[Array],
        names: Sequence[str],
        title: str,
        *,
        over_each_other: bool,
    ) -> None:
        """Rows of samples as a picture: images and maps in a grid, series as curves."""
        columns, samples = len(rows[0]), np.concatenate(list(rows))
        title = f"{self.name}: {self.kind.say(title)}"
        if issubclass(self.kind, SeriesSet):
            plots.curves(path, rows, names, title=title, over_each_other=over_each_other)
        elif issubclass(self.kind, LevelSet):
            maps = drawn(samples)
            plots.tile_maps(path, maps, KINDS, COLOURS, columns, title, row_labels=names)
        else:
            kind = self.of_images("can be drawn")
            grid = plots.piano_rolls if issubclass(kind, RollSet) else plots.image_grid
            grid(path, samples, kind.shape(self.model), columns, title=title, row_labels=names)

    def write_records(self, path: Path, rows: Sequence[Array], names: Sequence[str]) -> None:
        """Rows of encoded records as a table of numbers and words; with names, each says its row's
        and its place there."""
        table = self.model.encoding.decode(np.concatenate(list(rows)))
        places = [
            (name, j) for name, row in zip(names, rows, strict=False) for j in range(len(row))
        ]
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*(("row", "place") if names else ()), *table.columns])
            columns = [
                [f"{x:.6g}" for x in column] if column.dtype.kind == "f" else column
                for column in table.columns.values()
            ]
            for i, fields in enumerate(zip(*columns, strict=True)):
                writer.writerow([*(places[i] if names else ()), *fields])


def lines(samples: Array, columns: int = 10) -> list[Array]:
    """The samples of a picture without names, so many in a row."""
    return [samples[i : i + columns] for i in range(0, len(samples), columns)]


def write_array(path: Path, array: Array, header: Sequence[str] = ()) -> None:
    """Write an array to a .npy or a .csv file, whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as file:
        if path.suffix == ".npy":
            np.save(file, array)
        else:
            rows = array.reshape(len(array), -1)
            np.savetxt(file, rows, "%.9g", ",", header=",".join(header), comments="")
