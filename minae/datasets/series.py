"""Time series, one a line, in the way of the UCR archive: label first, then the samples.

    1  -0.1125  -2.8272  -3.7739 ...

Fields are separated by tabs, commas, semicolons or blanks (.tsv, .csv, .txt), gzipped or not. All
series are equally long. Labels are any words or numbers; the most frequent one counts as normal
unless another is asked for. Source: Dau et al. 2018, the UCR time series archive, whose files these
are; `generate_heartbeats` makes the ones that stand in the box.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minae.backends.spec import Array
from minae.datasets.dataset import AnomalySet, Rows, numbered
from minae.datasets.heartbeats import KINDS, generate_heartbeats
from minae.datasets.split import split_normal
from minae.datasets.text import read_lines, shown, wrong
from minae.errors import MinaeError


@dataclass(frozen=True, eq=False)
class SeriesSet(AnomalySet):
    """Series of one length, in their own units."""

    sample: ClassVar[str] = "series"
    samples: ClassVar[str] = "series"
    number: ClassVar[str] = "time step"
    place: ClassVar[str] = "time step"

    test_marks: Array | None = None  # bool (M, T): where an anomaly is, if it is known

    @property
    def dimensions(self) -> dict[str, Any]:
        """length: samples in a series;  mean, std: of all values of the training part."""
        values = self.train_images
        return {
            "length": values.shape[1],
            "mean": float(values.mean(dtype=np.float64)),
            "std": max(float(values.std(dtype=np.float64)), 1e-6),
        }

    @classmethod
    def load(cls, path: Path | None = None) -> "SeriesSet":
        return load_series(path)

    @classmethod
    def read(cls, path: Path, split: str, model: Any, class_names: Sequence[str]) -> Rows:
        """As `Dataset.read`; lines of as many fields as the model's series are long have no label.

        The values stay in their own units: the model standardizes them as in training.
        """
        T = prod(model.input_shape)
        values, texts = read_series(path, T)
        if values.shape[1] != T:
            raise MinaeError(
                f"{path} holds series of {values.shape[1]} time steps, the model takes {T}"
            )
        if texts is None:
            return Rows(values, None)
        return Rows(values, *numbered(texts, class_names))

    @classmethod
    def compare(cls, model: Any, x: Array, y: Array) -> str:
        low, high = model.pixel_range  # standardized, numbers are larger by this factor
        error = np.square((high - low) * (y - x)).mean()
        return f"squared error {error:.4f} a time step, in squared standard deviations"


def read_series(path: Path, unlabelled: int | None = None) -> tuple[Array, list[str] | None]:
    """Values float32 (M, T) and the M labels as text; a label that is a whole number is written as
    one: "1" for 1.0000000e+00. If the first line has `unlabelled` fields there are no labels: None.

    Raises MinaeError, with file and line, if a value is no finite number, if a series differs in
    length from the first, or if it is shorter than 2.
    """
    rows: list[Array] = []
    labels: list[str] = []
    labelled = True
    for line, text in read_lines(path):
        label, *fields = _fields(text)
        if not rows and 1 + len(fields) == unlabelled:
            labelled = False
        if not labelled:
            label, fields = "", [label, *fields]
        values = _numbers(path, line, fields)
        if len(values) < 2:
            raise wrong(path, line, f"{len(values)} value(s)", "a label and 2 values or more")
        if rows and len(values) != len(rows[0]):
            raise wrong(
                path, line, f"{len(values)} values", f"{len(rows[0])} as in the lines before"
            )
        rows.append(values)
        labels.append(_label(label))
    return np.stack(rows), labels if labelled else None


def load_series(path: Path | None = None, normal: str | None = None) -> SeriesSet:
    """The series of a file, split for anomaly detection; without one heartbeats made here.

    `normal` is the label of the normal series, the most frequent one if not given. Of the normal
    series 60 % are for training, 10 % are held out for thresholds, and 30 % are in the test part,
    with all anomalies.

    Raises MinaeError for what `read_series` refuses, for an unknown label, or if there are fewer
    than ten normal series or no other.
    """
    if path is None:
        values, labels, marks = generate_heartbeats()
        names = list(KINDS)
        name = "heartbeats made by minae"
    else:
        values, texts = read_series(path)
        assert texts is not None
        marks = None
        counts = Counter(texts)
        if normal is None:
            normal = counts.most_common(1)[0][0]
        elif normal not in counts:
            known = ", ".join(sorted(counts))
            raise MinaeError(f"{path} has no label {normal!r}; its labels are {known}")
        names = [normal, *sorted(set(texts) - {normal})]
        labels = np.array([names.index(text) for text in texts])
        name = path.name.split(".")[0]
    train, held_out, test = split_normal(labels, name)
    return SeriesSet(
        name=name,
        train_images=values[train],
        train_labels=labels[train],
        test_images=values[test],
        test_labels=labels[test],
        held_out_images=values[held_out],
        class_names=tuple(names),
        test_marks=None if marks is None else marks[test],
    )


def _fields(text: str) -> list[str]:
    """The fields of a line, by the first separator of tab, comma, semicolon that it has."""
    for separator in "\t,;":
        if separator in text.strip():
            return [field.strip() for field in text.strip().split(separator)]
    return text.split()


def _numbers(path: Path, line: int, fields: list[str]) -> Array:
    try:
        values = np.array(fields, np.float64)
    except ValueError:
        values = np.array([_number(field) for field in fields])
    if not np.isfinite(values).all():
        place = int(np.argmin(np.isfinite(values)))
        raise wrong(path, line, f"{shown(fields[place])} as value {place + 1}", "a finite number")
    return values.astype(np.float32)


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return float("nan")


def _label(text: str) -> str:
    """1.0000000e+00 is the label 1."""
    if re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", text):
        value = _number(text)
        if value == round(value) and abs(value) < 1e15:
            return str(round(value))
    return text
