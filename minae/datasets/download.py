"""Image sets of MNIST's kind from their public mirrors, checked by their SHA-256.

A set is fetched once, into a folder of its own under $MINAE_CACHE, or else ~/.cache/minae. A file
has its final name there only when it is whole and its sum is right.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minae.errors import MinaeError

BLOCK = 1 << 16  # bytes read at a time
PATIENCE = 30  # seconds without a byte

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
EMNIST_SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")


@dataclass(frozen=True)
class Source:
    """Where a set is: files with their SHA-256 under each mirror, and, where the file is a zip
    archive, the members to take out of it."""

    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]
    members: tuple[str, ...] = ()


def _emnist(split: str) -> Source:
    prefix = f"gzip/emnist-{split}"
    kinds = ("images-idx3", "labels-idx1")
    return Source(
        mirrors=(
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ),
        sha256={"gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
        members=tuple(
            f"{prefix}-{part}-{kind}-ubyte.gz" for part in ("train", "test") for kind in kinds
        ),
    )


SOURCES = {
    "mnist": Source(
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        sha256=dict(
            zip(
                FILES,
                (
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
                strict=True,
            )
        ),
    ),
    "fashion-mnist": Source(
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        sha256=dict(
            zip(
                FILES,
                (
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
                strict=True,
            )
        ),
    ),
    "kmnist": Source(
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        sha256=dict(
            zip(
                FILES,
                (
                    "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                    "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                    "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                    "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
                ),
                strict=True,
            )
        ),
    ),
    **{f"emnist-{split}": _emnist(split) for split in EMNIST_SPLITS},
}


def download(name: str) -> Path:
    """The folder that holds the set, fetched unless it is there already.

    Raises MinaeError if the name is unknown, if no mirror answers, if what came has another
    SHA-256, or if the folder cannot be written. Nothing of a failed download is left.
    """
    if name not in SOURCES:
        raise MinaeError(f"unknown set {name!r} to download; choose one of {', '.join(SOURCES)}")
    source, folder = SOURCES[name], cache_folder() / name
    wanted = [Path(member).name for member in source.members] or [*source.sha256]
    if all((folder / file).is_file() for file in wanted):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, sha256 in source.sha256.items():
            if source.members or not (folder / file).is_file():
                _fetch(source.mirrors, file, sha256, folder)
        if source.members:
            archive = folder / next(iter(source.sha256))
            _unpack(archive, source.members, folder)
            archive.unlink()
    except OSError as error:
        raise MinaeError(
            f"{name} cannot be written to {folder} ({error.strerror or error}); name another "
            "folder in MINAE_CACHE"
        ) from error
    return folder


def cache_folder() -> Path:
    """$MINAE_CACHE, or ~/.cache/minae."""
    return Path(os.environ.get("MINAE_CACHE") or Path.home() / ".cache" / "minae")


def _fetch(mirrors: tuple[str, ...], file: str, sha256: str, folder: Path) -> None:
    """folder/file from the first mirror that has it; the sum decides whether it is that."""
    from urllib.error import URLError  # 40 ms and 3 MB, for those who download

    partial = folder / f".{file}.{os.getpid()}.partial"
    failures = []
    try:
        for mirror in mirrors:
            try:
                found = _copy(mirror + file, partial)
            except (URLError, TimeoutError, ConnectionError) as error:
                reason = getattr(error, "reason", None) or error
                failures.append(f"{mirror}: {reason}")
                continue
            if found == sha256:
                os.replace(partial, folder / file)
                return
            failures.append(f"{mirror}: SHA-256 {found[:12]}…, {sha256[:12]}… wanted")
    finally:
        partial.unlink(missing_ok=True)
    raise MinaeError(
        f"{file} cannot be downloaded ({'; '.join(failures)}): try again later, or fetch it by "
        "hand and give its folder with --data"
    )


def _copy(url: str, path: Path) -> str:
    """Write what is at the address to a file; returns its SHA-256 in hexadecimal digits.

    Raises ConnectionError where fewer bytes come than were announced."""
    from urllib.request import urlopen

    digest = hashlib.sha256()
    with urlopen(url, timeout=PATIENCE) as answer, path.open("wb") as out:
        announced, received = answer.headers.get("Content-Length"), 0
        while block := answer.read(BLOCK):
            digest.update(block)
            out.write(block)
            received += len(block)
    if announced is not None and received != int(announced):
        raise ConnectionError(f"{received} of {announced} bytes came")
    return digest.hexdigest()


def _unpack(archive: Path, members: tuple[str, ...], folder: Path) -> None:
    """Take these members out of a zip archive, each under its last name."""
    with zipfile.ZipFile(archive) as content:
        for member in members:
            path = folder / Path(member).name
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            try:
                with content.open(member) as source, partial.open("wb") as out:
                    shutil.copyfileobj(source, out)
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
