"""Reader for IDX, the file format of MNIST and its successors.

An IDX file is a magic number 00 00 TYPE DIMENSIONS, each dimension as a big-endian uint32, then the
elements, last index fastest. Type 0x08 is the unsigned byte, the only one that image sets use.
Source: Yann LeCun, http://yann.lecun.com/exdb/mnist/, "The IDX file format".
"""

import gzip
import hashlib
import io
import math
import struct
import zlib
from importlib.resources.abc import Traversable

import numpy as np

from minae.backends.spec import Array
from minae.errors import MinaeError

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
BLOCK = 1 << 20  # bytes unpacked at a time


def read_idx(path: Traversable, dimensions: int, sha256: str | None = None) -> Array:
    """The array of one IDX file of unsigned bytes: uint8, C-contiguous, writable.

    The file may be gzipped: its first bytes tell, not its name. `dimensions` is the number of
    dimensions wanted. Given `sha256`, the uncompressed content must have this hexadecimal sum.

    Raises MinaeError if the file cannot be read or unpacked, is no IDX file of unsigned bytes and
    this many dimensions, is longer or shorter than its header says, or has another sum.
    """
    content = _uncompressed(path)
    header = 4 + 4 * dimensions
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise MinaeError(
            f"{path} begins with {magic.hex(' ') or 'nothing'}, 00 00 08 {dimensions:02x} wanted: "
            "it is no IDX file, so put the file as published in its place"
        )
    if magic[2] != UNSIGNED_BYTE:
        raise MinaeError(
            f"{path} holds elements of IDX type 0x{magic[2]:02x}, 0x08 (unsigned byte) wanted: "
            "convert it to unsigned bytes"
        )
    if magic[3] != dimensions:
        raise MinaeError(
            f"{path} has {magic[3]} dimension(s), {dimensions} wanted (images have 3, labels 1): "
            "check that images and labels have not changed names"
        )
    if len(content) < header:
        raise MinaeError(
            f"{path} ends within its header, after {len(content)} of {header} bytes: "
            "put the whole file in its place"
        )
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    found, wanted = len(content) - header, math.prod(shape)
    if found != wanted:
        raise MinaeError(
            f"{path} holds {found} elements, {wanted} wanted for {' × '.join(map(str, shape))}: "
            "put the whole file as published in its place"
        )
    if sha256 is not None and (found_sum := hashlib.sha256(content).hexdigest()) != sha256:
        raise MinaeError(
            f"{path} has the SHA-256 {found_sum}, {sha256} wanted: it was changed, so install "
            "minae again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _uncompressed(path: Traversable) -> bytearray:
    """The content of a file, unpacked block by block: the whole is in memory once."""
    content = bytearray()
    try:
        with path.open("rb") as opened, io.BufferedReader(opened) as file:  # type: ignore[type-var]
            packed = file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)  # a pipe cannot go back
            unpacked = gzip.GzipFile(fileobj=file) if packed else file
            while block := unpacked.read(BLOCK):
                content += block
        return content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MinaeError(
            f"{path} is damaged, an intact gzip file wanted ({_in_one_clause(error)}): "
            "put the file as published in its place"
        ) from error
    except OSError as error:
        raise MinaeError(
            f"{path} cannot be read ({error.strerror or error}), a readable file wanted: "
            "check its kind and its permissions"
        ) from error


def _in_one_clause(error: Exception) -> str:
    return str(error).rstrip(".").replace("\n", " ")
