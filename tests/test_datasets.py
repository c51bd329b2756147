"""IDX reader and image sets: what they read, and the sentence for each thing they refuse."""

import gzip
import hashlib
import os
import struct
import threading
import zlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from minae.datasets import images as images_module
from minae.datasets import load_images, read_idx
from minae.errors import MinaeError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
TRAIN = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
TEST = TRAIN[:2] + 100
ARRAYS = (TRAIN, np.array([0, 2, 1], np.uint8), TEST, np.array([3, 0], np.uint8))


def idx(array: np.ndarray, magic: bytes | None = None) -> bytes:
    magic = bytes((0, 0, 8, array.ndim)) if magic is None else magic
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, names=NAMES, arrays=ARRAYS, pack=idx) -> Path:
    for name, array in zip(names, arrays, strict=True):
        (folder / name).write_bytes(pack(array))
    return folder


def sentence(call, *arguments, **keywords) -> str:
    """The message of the MinaeError that the call raises; one line, and it ends without a stop."""
    with pytest.raises(MinaeError) as caught:
        call(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".")
    return message


# ---------------------------------------------------------------- MNIST in the box


@pytest.fixture(scope="module")
def mnist():
    return load_images()


def test_mnist_is_whole(mnist):
    assert mnist.name == "MNIST"
    assert mnist.image_shape == (28, 28)
    assert mnist.classes == 10
    for images, labels, count in (
        (mnist.train_images, mnist.train_labels, 60000),
        (mnist.test_images, mnist.test_labels, 10000),
    ):
        assert images.shape == (count, 784) and images.dtype == np.uint8
        assert images.flags.c_contiguous and images.flags.writeable
        content = images.base.base.obj
        assert len(content) == images.nbytes + 16  # the file with its header, and no copy
        assert labels.shape == (count,) and labels.dtype == np.int64
    assert np.bincount(mnist.test_labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]


PUBLISHED_SHA256 = """
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db train_images
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 train_labels
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 test_images
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 test_labels
"""


@pytest.mark.parametrize("line", PUBLISHED_SHA256.split("\n")[1:-1])
def test_mnist_has_the_published_content(mnist, line):
    published, field = line.split()
    array = getattr(mnist, field).astype(np.uint8)
    content = idx(array.reshape(-1, 28, 28) if array.ndim == 2 else array)
    assert hashlib.sha256(content).hexdigest() == published


def test_mnist_is_checked_by_its_sum(monkeypatch):
    monkeypatch.setitem(images_module.MNIST_SHA256, "t10k-labels-idx1-ubyte", "0" * 64)
    message = sentence(load_images)
    assert message.endswith(
        "mnist/t10k-labels-idx1-ubyte.gz has the SHA-256 "
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2, "
        f"{'0' * 64} wanted: it was changed, so install minae again"
    )


def test_mnist_carries_its_notice():
    notice = (resources.files("minae.datasets") / "mnist" / "LICENSE").read_text()
    for words in ("Yann LeCun and Corinna\nCortes", "Share Alike 3.0", "only recompressed"):
        assert words in notice


def test_an_image_set_is_frozen(mnist):
    with pytest.raises(AttributeError):
        mnist.classes = 11


# ---------------------------------------------------------------- folders


def is_the_written_set(images) -> None:
    assert images.image_shape == (4, 5) and images.classes == 4
    assert np.array_equal(images.train_images, TRAIN.reshape(3, 20))
    assert np.array_equal(images.test_images, TEST.reshape(2, 20))
    assert images.train_labels.tolist() == [0, 2, 1]
    assert images.test_labels.tolist() == [3, 0]
    assert images.train_images.flags.c_contiguous and images.test_images.flags.c_contiguous
    assert images.train_labels.dtype == images.test_labels.dtype == np.int64


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_folder(tmp_path, suffix, separator):
    names = [name.replace("-idx", f"{separator}idx") + suffix for name in NAMES]
    write(tmp_path, names, pack=lambda a: gzip.compress(idx(a)) if suffix else idx(a))
    (tmp_path / "README.md").write_text("not read")
    images = load_images(tmp_path, (4, 5))
    assert images.name == tmp_path.name
    is_the_written_set(images)


def test_the_content_tells_what_is_gzipped(tmp_path):
    is_the_written_set(load_images(write(tmp_path, [name + ".gz" for name in NAMES]), (4, 5)))


def test_plain_comes_before_gzipped(tmp_path):
    write(tmp_path)
    write(tmp_path, [name + ".gz" for name in NAMES], pack=lambda a: b"not read")
    is_the_written_set(load_images(tmp_path, (4, 5)))


def test_a_folder_of_a_files_name_is_passed_over(tmp_path):
    write(tmp_path, [name.replace("-idx", ".idx") for name in NAMES])
    (tmp_path / NAMES[0]).mkdir()
    is_the_written_set(load_images(tmp_path, (4, 5)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_emnist_is_turned_upright(tmp_path, suffix):
    names = [f"emnist-letters-{name.replace('t10k', 'test')}{suffix}" for name in NAMES]
    stored = [array.swapaxes(1, 2) if array.ndim == 3 else array for array in ARRAYS]
    write(tmp_path, names, stored)
    images = load_images(tmp_path, (4, 5))
    assert images.name == "EMNIST letters"
    is_the_written_set(images)


# ---------------------------------------------------------------- folders that are refused


@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "No such file or directory"), ("file", "Not a directory")]
)
def test_no_folder(tmp_path, name, reason):
    (tmp_path / "file").touch()
    assert sentence(load_images, tmp_path / name) == (
        f"{tmp_path}/{name} cannot be listed ({reason}), a folder wanted: give the one that holds "
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte"
    )


@pytest.mark.parametrize("missing", NAMES)
def test_missing_file(tmp_path, missing):
    (write(tmp_path) / missing).unlink()
    assert sentence(load_images, tmp_path, (4, 5)) == (
        f"{tmp_path}/{missing} is missing (gzipped or not), 3 of 4 files found: put it there"
    )


def test_missing_file_of_emnist(tmp_path):
    names = [f"emnist-digits-{name.replace('t10k', 'test')}" for name in NAMES]
    (write(tmp_path, names) / names[3]).unlink()
    assert sentence(load_images, tmp_path, (5, 4)) == (
        f"{tmp_path}/emnist-digits-test-labels-idx1-ubyte is missing (gzipped or not), "
        "3 of 4 files found: put it there"
    )


def test_empty_folder(tmp_path):
    assert sentence(load_images, tmp_path) == (
        f"{tmp_path}/train-images-idx3-ubyte is missing (gzipped or not), 0 of 4 files found: "
        "put it there"
    )


def test_several_splits(tmp_path):
    for split in ("letters", "balanced"):
        write(tmp_path, [f"emnist-{split}-{name.replace('t10k', 'test')}" for name in NAMES])
    assert sentence(load_images, tmp_path) == (
        f"{tmp_path} holds files of 2 sets (emnist-balanced-train-…, emnist-letters-train-…), "
        "one wanted: put the four files of one set in a folder of their own"
    )


@pytest.mark.parametrize("part", [0, 2])
def test_counts_that_differ(tmp_path, part):
    arrays = list(ARRAYS)
    arrays[part + 1] = np.append(arrays[part + 1], np.uint8(1))
    count = len(arrays[part])
    assert sentence(load_images, write(tmp_path, arrays=arrays), (4, 5)) == (
        f"{tmp_path}/{NAMES[part + 1]} holds {count + 1} labels, {count} wanted for the images of "
        f"{NAMES[part]}: put the two files of one set there"
    )


def test_other_image_size(tmp_path):
    assert sentence(load_images, write(tmp_path)) == (
        f"{tmp_path}/train-images-idx3-ubyte holds images of 4×5 pixels, 28×28 wanted: "
        "choose a set of that size"
    )


def test_other_image_size_in_the_test_part(tmp_path):
    arrays = (*ARRAYS[:2], TEST.swapaxes(1, 2), ARRAYS[3])
    assert sentence(load_images, write(tmp_path, arrays=arrays), (4, 5)) == (
        f"{tmp_path}/t10k-images-idx3-ubyte holds images of 5×4 pixels, 4×5 wanted: "
        "choose a set of that size"
    )


def test_no_images(tmp_path):
    arrays = (*ARRAYS[:2], TEST[:0], ARRAYS[3][:0])
    assert sentence(load_images, write(tmp_path, arrays=arrays), (4, 5)) == (
        f"{tmp_path}/t10k-images-idx3-ubyte holds 0 images, 1 or more wanted: "
        "put the whole file there"
    )


# ---------------------------------------------------------------- files that are refused


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            b"",
            "begins with nothing, 00 00 08 03 wanted: "
            "it is no IDX file, so put the file as published in its place",
        ),
        (
            b"\x89PNG\r\n",
            "begins with 89 50 4e 47, 00 00 08 03 wanted: "
            "it is no IDX file, so put the file as published in its place",
        ),
        (
            idx(TRAIN, b"\x00\x00\x0d\x03"),
            "holds elements of IDX type 0x0d, 0x08 (unsigned byte) wanted: "
            "convert it to unsigned bytes",
        ),
        (
            idx(TRAIN[0, 0]),
            "has 1 dimension(s), 3 wanted (images have 3, labels 1): "
            "check that images and labels have not changed names",
        ),
        (
            idx(TRAIN)[:15],
            "ends within its header, after 15 of 16 bytes: put the whole file in its place",
        ),
        (
            idx(TRAIN)[:-1],
            "holds 59 elements, 60 wanted for 3 × 4 × 5: "
            "put the whole file as published in its place",
        ),
        (
            idx(TRAIN) + b"\0",
            "holds 61 elements, 60 wanted for 3 × 4 × 5: "
            "put the whole file as published in its place",
        ),
        (
            b"\0\0\x08\x03" + b"\xff" * 12,
            "holds 0 elements, 79228162458924105385300197375 wanted for "
            "4294967295 × 4294967295 × 4294967295: put the whole file as published in its place",
        ),
    ],
    ids=["empty", "magic", "type", "dimensions", "header", "short", "long", "enormous"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_damaged_idx(tmp_path, content, fault, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(content))
    assert sentence(read_idx, path, 3) == f"{path} {fault}"


def packed() -> bytearray:
    rng = np.random.default_rng(0)
    return bytearray(gzip.compress(idx(rng.integers(0, 256, (9, 28, 28), np.uint8))))


def cut(content: bytearray) -> bytearray:
    return content[: len(content) // 2]


def other_checksum(content: bytearray) -> bytearray:
    content[-8] ^= 1
    return content


def other_block_type(content: bytearray) -> bytearray:
    content[10] |= 0b110  # deflate's reserved block type
    return content


def trailing_bytes(content: bytearray) -> bytearray:
    return content + b"more"


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (cut, EOFError),
        (other_checksum, gzip.BadGzipFile),
        (other_block_type, zlib.error),
        (trailing_bytes, gzip.BadGzipFile),
    ],
)
def test_damaged_gzip(tmp_path, damage, cause):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(packed()))
    with pytest.raises(MinaeError) as caught:
        read_idx(path, 3)
    assert type(caught.value.__cause__) is cause
    message = sentence(read_idx, path, 3)
    assert message.startswith(f"{path} is damaged, an intact gzip file wanted (")
    assert message.endswith("): put the file as published in its place")


def test_intact_gzip(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(packed())
    assert read_idx(path, 3).shape == (9, 28, 28)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name on this system")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_a_file_may_be_a_pipe(tmp_path, pack):
    """Say, of a shell's <(...): it is read once, from its beginning."""
    path, array = tmp_path / "images", np.arange(2 * 28 * 28).reshape(2, 28, 28) % 251
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(pack(idx(array.astype(np.uint8)))))
    writer.start()
    found = read_idx(path, 3)
    writer.join()
    np.testing.assert_array_equal(found, array)


def test_unreadable_file(tmp_path):
    assert sentence(read_idx, tmp_path, 3) == (
        f"{tmp_path} cannot be read (Is a directory), a readable file wanted: "
        "check its kind and its permissions"
    )
