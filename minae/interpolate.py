"""Interpolate between samples: along the line of their codes, and beside it that of their pixels.

The samples chosen are taken in pairs: 0 and 1, 2 and 3, ...
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from minae import command, latent
from minae.errors import MinaeError


def parser() -> command.Parser:
    p = command.parser_for("interpolate", __doc__)
    p.add_argument("--steps", type=command.whole(2, 100), default=11, metavar="N")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/interpolate.png; of records a table, .csv); .npy: (pairs, 2, "
        "steps, D), latent first; .csv",
    )
    return p


def interpolate(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("encode", "decode")
    out = run.output(options.out, "interpolate")
    samples = run.samples(options, 6)
    if options.index is None and options.first is None and len(samples) > 1:
        samples = samples.chosen(np.arange(len(samples) // 2 * 2))
    if len(samples) % 2:
        raise MinaeError(f"samples are taken in pairs, found {len(samples)}: give an even number")
    start, end = (samples.chosen(np.arange(i, len(samples), 2)) for i in (0, 1))
    labels = None if model.classes is None else start.labels
    strips = latent.interpolate(model, start.images, end.images, options.steps, labels)
    both = np.stack(strips, axis=1)  # (pairs, 2, steps, D)
    rows = [strip for pair in both for strip in pair]
    names = ["codes", run.kind.say("pixels")] * len(both)
    run.write(out, both, rows, names, "between two images")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), interpolate, arguments)


if __name__ == "__main__":
    sys.exit(main())
