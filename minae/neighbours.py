"""The samples whose codes are nearest to those of the samples chosen: retrieval by likeness."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from minae import command, latent

SHOWN = 12  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("neighbours", __doc__)
    p.add_argument(
        "-k", type=command.whole(1), default=10, metavar="K", help="how many (default: 10)"
    )
    p.add_argument("--among", choices=("train", "test"), default="train", help="where to look")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/neighbours.png; of records a table, .csv), or .npy or .csv of the "
        "neighbours' numbers",
    )
    return p


def neighbours(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("encode")
    out = run.output(options.out, "neighbours")
    queries = run.samples(options, 8)
    among = run.part(options.among)
    codes = latent.encode(model, among.images, among.labels)
    wanted = latent.encode(model, queries.images, queries.labels)
    numbers, distances = latent.neighbours(codes, wanted, options.k)
    same = None
    if queries.labels is not None and among.labels is not None:
        same = float(np.mean(among.labels[numbers] == queries.labels[:, None]))
    print(
        f"{len(queries)} {run.kind.samples}, {options.k} nearest of {len(among)}: mean distance "
        f"{distances.mean():.3f}" + ("" if same is None else f", {same:.1%} of the same class")
    )
    shown = min(len(queries), SHOWN) if out.suffix == ".png" else len(queries)
    rows = [
        np.concatenate([queries.pixels[i : i + 1], among.chosen(numbers[i]).pixels])
        for i in range(shown)
    ]
    names = [f"{run.kind.sample} {row} and" for row in queries.rows[:shown]]
    run.write(out, numbers, rows, names, "the nearest codes")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), neighbours, arguments)


if __name__ == "__main__":
    sys.exit(main())
