"""Image sets: MNIST in the box, any folder of four IDX files (Fashion-MNIST, KMNIST, EMNIST), or
NumPy arrays (minae.datasets.arrays).

A folder holds the images and labels of a training and a test part under their published names,

    train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte  t10k-labels-idx1-ubyte

gzipped (.gz) or not, or with a dot before `idx` (train-images.idx3-ubyte). EMNIST names them
emnist-SPLIT-train-images-idx3-ubyte and emnist-SPLIT-test-images-idx3-ubyte, and stores its images
transposed: they are turned upright here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np

from minae.backends.spec import Array, Pair
from minae.datasets.arrays import holds_arrays, read_array, read_image_arrays
from minae.datasets.dataset import Dataset, Rows
from minae.datasets.idx import read_idx
from minae.errors import MinaeError

# The four files, and the SHA-256 of their uncompressed content in MNIST.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

FILE_NAME = re.compile(
    r"(?P<prefix>(emnist-\w+-)?)(?P<part>train|t10k|test)-(?P<kind>images|labels)"
    r"[-.]idx[13]-ubyte(\.gz)?"
)


@dataclass(frozen=True, eq=False)
class ImageSet(Dataset):
    """Grey images, uint8 (M, H·W); 0 is background, 255 full ink. Pixels stay bytes in memory:
    `Backend.gather` scales a batch."""

    image_shape: Pair  # (H, W)
    classes: int  # largest label + 1

    @property
    def dimensions(self) -> dict[str, Any]:
        return {"classes": self.classes}

    @classmethod
    def load(cls, path: Path | None = None) -> "ImageSet":
        return load_images(path)

    @classmethod
    def read(cls, path: Path, split: str, model: Any, class_names: Sequence[str]) -> Rows:
        """As `Dataset.read`: a folder of IDX files, or a .csv file of numbers in [0, 1]."""
        if not path.is_dir():
            return Rows(*read_array(path))
        data = cls.load(path)
        if split == "train":
            return Rows(data.train_images, data.train_labels)
        return Rows(data.test_images, data.test_labels)

    @classmethod
    def shape(cls, model: Any) -> Pair:
        """(H, W) of the model's images; those of a model of rows are square."""
        if len(model.input_shape) == 3:
            return int(model.input_shape[1]), int(model.input_shape[2])
        side = isqrt(prod(model.input_shape))
        return side, side

    @classmethod
    def parts(cls, model: Any) -> dict[str, slice]:
        H, W = cls.shape(model)
        return {f"{cls.place} ({i // W}, {i % W})": slice(i, i + 1) for i in range(H * W)}

    @classmethod
    def compare(cls, model: Any, x: Array, y: Array) -> str:
        squared = np.square(y - x)
        error = squared.sum(axis=1).mean()
        return cls.say(f"squared error {error:.3f} an image, MSE {squared.mean():.5f} a pixel")


def load_images(folder: Path | None = None, image_shape: Pair = (28, 28)) -> ImageSet:
    """The image set in a folder or file; without one the MNIST in the box, checked by its SHA-256.

    Where a file lies there in several spellings, the first in alphabetical order is read: plain
    before gzipped.

    Raises MinaeError if the folder or one of its files is missing, if files of several sets leave
    the choice open, if a file is damaged (see `read_idx`), if images and labels differ in number,
    if there are none, or if the images are not of `image_shape`.
    """
    if folder is not None and holds_arrays(folder):
        train_images, train_labels, test_images, test_labels = read_image_arrays(
            folder, image_shape
        )
        name = folder.resolve().stem
        return _image_set(name, train_images, train_labels, test_images, test_labels, image_shape)
    files: list[Traversable]
    sums: list[str | None]
    if folder is None:
        box = resources.files("minae.datasets") / "mnist"
        name = "MNIST"
        files = [box / f"{published}.gz" for published in MNIST_SHA256]
        sums = [*MNIST_SHA256.values()]
    else:
        name, files = _find_files(folder)
        sums = [None] * 4
    train_images, train_labels = _read_part(files[0], files[1], sums[0], sums[1], image_shape)
    test_images, test_labels = _read_part(files[2], files[3], sums[2], sums[3], image_shape)
    return _image_set(name, train_images, train_labels, test_images, test_labels, image_shape)


def _image_set(
    name: str,
    train_images: Array,
    train_labels: Array,
    test_images: Array,
    test_labels: Array,
    image_shape: Pair,
) -> ImageSet:
    return ImageSet(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        image_shape=image_shape,
        classes=1 + int(max(train_labels.max(), test_labels.max())),
    )


def _find_files(folder: Path) -> tuple[str, list[Traversable]]:
    """The name of the set in a folder, and its four files in the order of MNIST_SHA256."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise MinaeError(
            f"{folder} cannot be listed ({error.strerror}), a folder wanted: "
            f"give the one that holds {', '.join(MNIST_SHA256)}"
        ) from error
    matches = [match for name in names if (match := FILE_NAME.fullmatch(name))]
    prefixes = sorted({match["prefix"] for match in matches})
    if len(prefixes) > 1:
        sets = ", ".join(f"{prefix}train-…" for prefix in prefixes)
        raise MinaeError(
            f"{folder} holds files of {len(prefixes)} sets ({sets}), one wanted: "
            "put the four files of one set in a folder of their own"
        )
    prefix = prefixes[0] if prefixes else ""
    found: dict[tuple[str, str], Traversable] = {}
    for match in matches:
        part = "train" if match["part"] == "train" else "test"
        found.setdefault((part, match["kind"]), folder / match.string)
    for part in ("train", "test"):
        for kind, rank in (("images", 3), ("labels", 1)):
            if (part, kind) not in found:
                stem = part if part == "train" or prefix else "t10k"
                raise MinaeError(
                    f"{folder}/{prefix}{stem}-{kind}-idx{rank}-ubyte is missing "
                    f"(gzipped or not), {len(found)} of 4 files found: put it there"
                )
    files = [found[part, kind] for part in ("train", "test") for kind in ("images", "labels")]
    name = f"EMNIST {prefix.split('-')[1]}" if prefix else folder.resolve().name
    return name, files


def _read_part(
    image_file: Traversable,
    label_file: Traversable,
    image_sum: str | None,
    label_sum: str | None,
    image_shape: Pair,
) -> tuple[Array, Array]:
    """Images uint8 (M, H·W) and labels int64 (M,) of the training or the test part."""
    images = read_idx(image_file, dimensions=3, sha256=image_sum)  # (M, H, W)
    labels = read_idx(label_file, dimensions=1, sha256=label_sum)  # (M,)
    if image_file.name.startswith("emnist-"):
        images = images.transpose(0, 2, 1)  # (M, W, H) -> (M, H, W)
    M, H, W = images.shape
    if image_shape != (H, W):
        raise MinaeError(
            f"{image_file} holds images of {H}×{W} pixels, {image_shape[0]}×{image_shape[1]} "
            "wanted: choose a set of that size"
        )
    if M == 0:
        raise MinaeError(f"{image_file} holds 0 images, 1 or more wanted: put the whole file there")
    if len(labels) != M:
        raise MinaeError(
            f"{label_file} holds {len(labels)} labels, {M} wanted for the images of "
            f"{image_file.name}: put the two files of one set there"
        )
    return np.ascontiguousarray(images).reshape(M, H * W), labels.astype(np.int64)
