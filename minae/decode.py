"""Decode codes, from a file of minae.encode or typed by hand, to samples."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minae import command, latent
from minae.backends.spec import Array
from minae.datasets.arrays import read_array
from minae.errors import MinaeError

SHOWN = 100  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("decode", __doc__, data=False)
    codes = p.add_mutually_exclusive_group(required=True)
    codes.add_argument("--codes", type=Path, metavar="FILE", help=".npy or .csv, (M, Z)")
    codes.add_argument("--code", type=float, nargs="+", metavar="X", help="the numbers of one code")
    p.add_argument("--label", type=command.whole(0), metavar="C", help="class, for the recipe cvae")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/decode.png; of records a table, .csv), .npy or .csv",
    )
    return p


def decode(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("decode")
    out = run.output(options.out, "decode")
    codes = np.array([options.code]) if options.code else read_array(options.codes)[0]
    images = latent.decode(model, codes, label_of(run, options.label, len(codes)))
    shown = images[:SHOWN] if out.suffix == ".png" else images
    run.write(out, images, command.lines(shown), title="decoded codes")


def label_of(run: command.Run, label: int | None, count: int) -> Array | None:
    """The label for each of `count` samples; None for models without. Raises MinaeError where one
    is missing or too many."""
    if run.model.classes is None:
        if label is not None:
            raise MinaeError(
                f"the model of {run.folder}, {type(run.model).__name__}, takes no --label"
            )
        return None
    if label is None:
        raise MinaeError(
            f"{run.folder} draws one class at a time: give --label 0 to {run.model.classes - 1}"
        )
    return np.full(count, label, np.int64)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), decode, arguments)


if __name__ == "__main__":
    sys.exit(main())
