"""What training, pictures and commands need of a data set, whatever its samples are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minae.backends.spec import Array


class Rows(NamedTuple):
    """Samples of a file as a trained model takes them."""

    images: Array  # (M, D)
    labels: Array | None  # int64 (M,)
    remarks: tuple[str, ...] = ()  # what a user should know of them, a sentence each


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples as rows of numbers, in a training and a test part, each with a label.

    Rows are uint8, 0 ... 255 standing for 0 ... 1, or floating. What the engine calls an image is
    one row, and a pixel one of its D numbers; what a reader calls them stands here, and nowhere
    else. A place is what carries a score: it may be several numbers, as a tile or a word is.
    """

    sample: ClassVar[str] = "image"
    samples: ClassVar[str] = "images"
    number: ClassVar[str] = "pixel"
    place: ClassVar[str] = "pixel"

    name: str
    train_images: Array  # (M, D), C-contiguous
    train_labels: Array  # int64 (M,)
    test_images: Array  # as train_images, of the test part
    test_labels: Array

    @property
    def dimensions(self) -> dict[str, Any]:
        """What a recipe must know to fit its model to these data: its options by name."""
        return {}

    @classmethod
    def say(cls, text: str) -> str:
        """A text about images and pixels in the words of these data: of records, "nats an image" is
        "nats a record"."""
        if cls.sample == "image":
            return text
        text = re.sub(r"\ban image", f"a {cls.sample}", text).replace("images", cls.samples)
        return text.replace("image", cls.sample).replace("pixel", cls.number)

    @classmethod
    def load(cls, path: Path | None = None) -> "Dataset":
        """The set of this file or folder; without one that in the box, or one made here."""
        raise NotImplementedError

    @classmethod
    def read(cls, path: Path, split: str, model: Any, class_names: Sequence[str]) -> Rows:
        """The samples of a file of a format that `load` reads, prepared as the training of `model`
        prepared them: nothing is fitted to them. split: of a file that has both parts.

        class_names: those of the labels in training; see `numbered`. Raises MinaeError for what
        `load` refuses in a single sample, and if the samples do not fit the model.
        """
        raise NotImplementedError

    @classmethod
    def parts(cls, model: Any) -> dict[str, slice]:
        """What a sample of the model consists of: name → its columns among the D numbers."""
        return {f"{cls.place} {i}": slice(i, i + 1) for i in range(prod(model.input_shape))}

    @classmethod
    def compare(cls, model: Any, x: Array, y: Array) -> str:
        """How far samples y (M, D) are from x (M, D), in words."""
        return f"MSE {np.square(y - x).mean():.5f}"


@dataclass(frozen=True, eq=False)
class AnomalySet(Dataset):
    """Normal samples to learn from; normal and strange ones to be told apart.

    Label 0 is normal, c > 0 an anomaly named class_names[c]. `train_images` are normal, all of
    them. `held_out_images` are normal too, and in neither part: thresholds are chosen on them.
    """

    held_out_images: Array  # as train_images
    class_names: tuple[str, ...]


def numbered(texts: Sequence[str], class_names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """Labels as text to their numbers int64 (M,) in class_names, and remarks; one that is not there
    gets the number after the last: it is an anomaly of a kind that the training data lacked."""
    numbers = {name: i for i, name in enumerate(class_names)}
    new = sorted(set(texts) - numbers.keys())
    labels = np.array([numbers.get(text, len(class_names)) for text in texts], np.int64)
    if not new:
        return labels, ()
    return labels, (f"labels that the run has not met, taken as anomalies: {listed(new)}",)


def listed(words: Sequence[str], most: int = 8) -> str:
    """a, b, c ... (12 in all)"""
    some = ", ".join(words[:most])
    return some if len(words) <= most else f"{some} ... ({len(words)} in all)"
