"""Read back a file of minae.compress, with the run that it was written with."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minae import command, compression
from minae.errors import MinaeError


def parser() -> command.Parser:
    p = command.parser_for("decompress", __doc__, data=False)
    p.add_argument("file", type=Path, metavar="FILE", help="what minae.compress wrote")
    p.add_argument(
        "--out",
        type=command.output(".npy", ".csv"),
        metavar="FILE",
        help=".npy (default: RUN/samples.npy) or .csv, uint8",
    )
    return p


def decompress(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend, np.float64)
    try:
        file = options.file.read_bytes()
    except OSError as error:
        raise MinaeError(f"{options.file} cannot be read ({error.strerror})") from error
    images = compression.decompress(run.able("decode"), file)
    print(f"{images.shape[0]} samples of {images.shape[1]} bytes")
    run.write(options.out or run.folder / "samples.npy", images)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), decompress, arguments)


if __name__ == "__main__":
    sys.exit(main())
