"""Text files line by line, gzipped or not, and the sentence for a line that is wrong."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from minae.datasets.idx import GZIP_MAGIC
from minae.errors import MinaeError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line that is not blank, numbered from 1 as editors do.

    Gzip is recognised by the first bytes, not by the name. Raises MinaeError if the file cannot be
    read or unpacked, is no UTF-8 text, or has no line.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MinaeError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is no UTF-8, text wanted"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MinaeError(f"{path} is damaged, an intact gzip file wanted ({error})") from error
    except OSError as error:
        raise MinaeError(
            f"{path} cannot be read ({error.strerror or error}), a readable file wanted"
        ) from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise MinaeError(f"{path} is empty, a line for each sample wanted")
    yield from lines


def wrong(path: Path, line: int, found: str, wanted: str) -> MinaeError:
    """The error for one line of a file."""
    return MinaeError(f"{path}, line {line}: found {found}, wanted {wanted}")


def shown(text: str) -> str:
    """A text as it stands in a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= 30 else text[:27] + "...")
