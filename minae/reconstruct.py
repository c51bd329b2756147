"""Reconstruct samples: a picture of originals and reconstructions, or the arrays."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from minae import command

SHOWN = 12  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("reconstruct", __doc__)
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/reconstruct.png; of records a table, .csv), .npy or .csv",
    )
    return p


def reconstruct(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model: Any = run.able("reconstruct")
    out = run.output(options.out, "reconstruct")
    drawn = out.suffix == ".png"
    samples = run.samples(options, SHOWN if drawn else None)
    x = samples.pixels
    y = model.reconstruct(samples.images, **run.labels(samples.labels))
    print(f"{len(samples)} {run.kind.samples}: {run.kind.compare(model, x, y)}")
    rows = [x[:SHOWN], y[:SHOWN]] if drawn else [x, y]
    names = ("original", "reconstruction")
    run.write(out, y, rows, names, "reconstructed", over_each_other=True)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), reconstruct, arguments)


if __name__ == "__main__":
    sys.exit(main())
