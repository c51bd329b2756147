"""Images kept as NumPy arrays: a .npz file, or .npy files in a folder or alone.

Arrays are found by name, whatever of these it is:

    train_images  x_train  images  arr_0      train_labels  y_train  labels
    test_images   x_test                      test_labels   y_test

Images are uint8, or floats in [0, 1], of shape (M, H, W), (M, H, W, 1), (M, 1, H, W) or (M, H·W);
floats are rounded to bytes, in steps of 1/255. Without a test part a seventh of the images, drawn
with a fixed seed, is set aside for it; without labels every image has label 0.
"""

import csv
import warnings
import zipfile
from pathlib import Path

import numpy as np

from minae.backends.spec import Array, Pair
from minae.datasets.split import split_off
from minae.errors import MinaeError, first_sentence

NAMES = {
    "train images": ("train_images", "x_train", "images", "arr_0"),
    "train labels": ("train_labels", "y_train", "labels"),
    "test images": ("test_images", "x_test"),
    "test labels": ("test_labels", "y_test"),
}
SUFFIXES = (".npy", ".npz")


def holds_arrays(path: Path) -> bool:
    """Whether the path is a .npy or .npz file, or a folder with some."""
    if path.is_dir():
        return any(entry.suffix in SUFFIXES for entry in path.iterdir())
    return path.suffix in SUFFIXES


def read_image_arrays(path: Path, image_shape: Pair) -> tuple[Array, Array, Array, Array]:
    """Training images uint8 (M, H·W) and labels int64 (M,), then those of the test part.

    Raises MinaeError if a file cannot be read or holds Python objects, if there are no images, or
    if images or labels are of another kind, shape, size or number.
    """
    arrays = _read_all(path)
    train, test = (_read_part(arrays, part, path, image_shape) for part in ("train", "test"))
    if train is None:
        raise MinaeError(
            f"{path} holds {'the arrays ' if arrays else 'no arrays'}{', '.join(arrays)}; one of "
            f"{', '.join(NAMES['train images'])} wanted"
        )
    if test is not None:
        return *train, *test
    images, labels = train
    first, second = split_off(len(images))
    return images[first], labels[first], images[second], labels[second]


def _read_part(
    arrays: dict[str, Array], part: str, path: Path, image_shape: Pair
) -> tuple[Array, Array] | None:
    """Images and labels of the training or the test part; None if it has no images."""
    images, labels = _named(arrays, f"{part} images"), _named(arrays, f"{part} labels")
    if images is None:
        return None
    name, values = images
    pixels = _pixels(values, f"{path}, array {name}", image_shape)
    return pixels, _labels(labels, len(pixels), path)


def _read_all(path: Path) -> dict[str, Array]:
    """All arrays of the path by name: a .npy file's name is that of its file."""
    if path.is_dir():
        paths = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
    else:
        paths = [path]
    arrays: dict[str, Array] = {}
    for file in paths:
        try:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                name = "images" if len(paths) == 1 else file.stem
                arrays[name] = loaded
            else:
                with loaded:
                    arrays |= {name: loaded[name] for name in loaded.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise MinaeError(
                f"{file} cannot be read as NumPy arrays ({first_sentence(error)}), "
                "a whole .npy or .npz file without Python objects wanted"
            ) from error
    return arrays


def _named(arrays: dict[str, Array], kind: str) -> tuple[str, Array] | None:
    for name in NAMES[kind]:
        if name in arrays:
            return name, arrays[name]
    return None


def _pixels(images: Array, where: str, image_shape: Pair) -> Array:
    """Images as uint8 (M, H·W)."""
    H, W = image_shape
    shapes = [(H, W), (H, W, 1), (1, H, W), (H * W,)]
    if images.shape[1:] not in shapes or len(images) == 0:
        raise MinaeError(
            f"{where}: found shape {images.shape}, wanted (M, {H}, {W}) or (M, {H * W}), M >= 1"
        )
    images = images.reshape(len(images), H * W)
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise MinaeError(f"{where}: found {images.dtype}, wanted uint8 or floats in [0, 1]")
    if not (images.min() >= 0 and images.max() <= 1):  # also catches NaN
        raise MinaeError(
            f"{where}: found values from {images.min():g} to {images.max():g}, wanted [0, 1]"
        )
    pixels: Array = np.rint(images * 255).astype(np.uint8)
    return pixels


def _labels(named: tuple[str, Array] | None, samples: int, path: Path) -> Array:
    if named is None:
        return np.zeros(samples, np.int64)
    name, labels = named
    labels = labels.reshape(-1) if labels.shape == (samples, 1) else labels
    whole = np.issubdtype(labels.dtype, np.integer)
    if labels.shape != (samples,) or not whole or labels.min() < 0:
        raise MinaeError(
            f"{path}, array {name}: found {labels.dtype} of shape {labels.shape}, wanted whole "
            f"numbers from 0 of shape ({samples},), one an image"
        )
    return labels.astype(np.int64)


def read_array(path: Path, split: str = "test") -> tuple[Array, Array | None]:
    """(array (M, ...), its labels int64 (M,) or None) of a .npy, .npz or .csv file, as it stands.

    Of a .npz file with several arrays those of the part `split`, or else `images` and `labels`; of
    a .csv file with a header whose first field is label, that column. Raises MinaeError for a file
    that cannot be read, or that holds no (M, D) or more dimensions.
    """
    labels: Array | None = None
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                array, labels = _of_archive(path, dict(file), split)
        elif path.suffix == ".csv":
            array, labels = _of_csv(path)
        else:
            raise MinaeError(f"{path} is to end in .npy, .npz or .csv")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, MinaeError):
            raise
        reason = getattr(error, "strerror", None) or first_sentence(error)
        raise MinaeError(f"{path} cannot be read ({reason})") from error
    if array.ndim < 2 or len(array) == 0:
        raise MinaeError(f"{path} holds an array of shape {array.shape}, wanted (M, D), M >= 1")
    if labels is not None and labels.shape != (len(array),):
        raise MinaeError(
            f"{path} holds labels of shape {labels.shape}, wanted ({len(array)},): one a sample"
        )
    return array, labels


def _of_archive(path: Path, arrays: dict[str, Array], split: str) -> tuple[Array, Array | None]:
    """Array and labels of a .npz file's arrays by name."""
    part = [name for name in NAMES[f"{split} images"] if split in name]
    images = [name for name in (*part, "images", "arr_0") if name in arrays]
    others = [name for name in arrays if name not in (*NAMES["train labels"], "y_test")]
    name = images[0] if images else others[0] if len(others) == 1 else None
    if name is None:
        wanted = ", ".join((*part, "images"))
        raise MinaeError(f"{path} is to hold the array images ({wanted}), found {[*arrays]}")
    label = f"{split}_labels" if name == f"{split}_images" else f"y_{split}"
    labels = arrays.get(label if name in part else "labels")
    return arrays[name], None if labels is None else labels.astype(np.int64)


def _of_csv(path: Path) -> tuple[Array, Array | None]:
    """Numbers of a .csv file, and the column `label` if it comes first."""
    with path.open(encoding="utf-8") as lines:
        first = next(csv.reader(lines), [])
    header = not all(map(_is_number, first))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no lines: refused by the caller
        array = np.loadtxt(path, delimiter=",", skiprows=int(header), ndmin=2)
    if header and first[0] == "label":
        return array[:, 1:], array[:, 0].astype(np.int64)
    return array, None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
