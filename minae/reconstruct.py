"""Reconstruct samples: a picture of originals and reconstructions, or the arrays."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minae import command

SHOWN = 12  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("reconstruct", __doc__)
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/reconstruct.png), or .npy or .csv with values in [0, 1]",
    )
    return p


def reconstruct(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model: Any = run.able("reconstruct")
    drawn = options.out is None or options.out.suffix == ".png"
    samples = run.samples(options, SHOWN if drawn else None)
    y = model.reconstruct(samples.images, **run.labels(samples.labels))
    squared = np.square(y - samples.pixels)
    print(
        f"{len(samples)} samples: squared error {squared.sum(axis=1).mean():.3f} a sample, "
        f"MSE {squared.mean():.5f}"
    )
    names = ("original", "reconstruction")
    picture = run.rows_picture([samples.pixels[:SHOWN], y[:SHOWN]], names, "reconstructed")
    run.write(options.out, "reconstruct.png", y, picture)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), reconstruct, arguments)


if __name__ == "__main__":
    sys.exit(main())
