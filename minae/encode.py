"""Encode samples: one row of code numbers a sample, as .npy or .csv."""

import argparse
import sys
from collections.abc import Sequence

from minae import command, latent


def parser() -> command.Parser:
    p = command.parser_for("encode", __doc__)
    p.add_argument(
        "--out",
        type=command.output(".npy", ".csv"),
        metavar="FILE",
        help=".npy (default: RUN/codes.npy) or .csv",
    )
    return p


def encode(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("encode")
    samples = run.samples(options)
    codes = latent.encode(model, samples.images, samples.labels)
    print(f"codes {codes.shape[0]} × {codes.shape[1]}, {codes.dtype}")
    run.write(options.out or run.folder / "codes.npy", codes)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), encode, arguments)


if __name__ == "__main__":
    sys.exit(main())
