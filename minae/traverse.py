"""Change samples along directions of the code: its axes, its principal components, or a concept,
the way from the mean code of some classes to that of others."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from minae import command, latent
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.ledger import principal_components

AXES = 8  # shown at most where none are named


def parser() -> command.Parser:
    p = command.parser_for("traverse", __doc__)
    along = p.add_mutually_exclusive_group()
    along.add_argument(
        "--axes",
        type=command.whole(0),
        nargs="+",
        metavar="J",
        help="code numbers to change, one a row (default: those that vary most)",
    )
    along.add_argument(
        "--components", type=command.whole(1), metavar="K", help="the first K principal components"
    )
    along.add_argument(
        "--concept",
        type=command.whole(0),
        nargs="+",
        metavar="C",
        help="towards the mean code of these classes",
    )
    p.add_argument(
        "--without",
        type=command.whole(0),
        nargs="+",
        metavar="C",
        help="with --concept: away from the mean code of these classes (default: all others)",
    )
    p.add_argument("--steps", type=command.whole(2, 100), default=11, metavar="N")
    p.add_argument(
        "--range",
        type=command.positive,
        default=2.5,
        metavar="X",
        help="axes and components: this many standard deviations each way; concepts: up to this "
        "many times the way between the means (default: 2.5)",
    )
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/traverse.png; of records a table, .csv); .npy: (rows, steps, D); "
        ".csv",
    )
    return p


def traverse(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("encode", "decode")
    out = run.output(options.out, "traverse")
    if options.without and not options.concept:
        raise MinaeError("--without goes with --concept")
    samples = run.samples(options, 6 if options.concept else 1)
    codes = latent.encode(model, samples.images, samples.labels)
    known = run.part("test")
    known_codes = latent.encode(model, known.images, known.labels)
    labels = None if model.classes is None else samples.labels
    if options.concept:
        amounts = np.linspace(0, options.range, options.steps)
        if known.labels is None:
            raise MinaeError(f"the data of {run.folder} have no labels: there are no concepts")
        other = np.isin(known.labels, options.without) if options.without else None
        direction = latent.concept(known_codes, np.isin(known.labels, options.concept), other)
        rows = latent.traverse(model, codes, direction, amounts, labels)
        names = [f"{run.kind.sample} {row}" for row in samples.rows]
        title = f"towards class {', '.join(map(str, options.concept))}"
        if options.without:
            title += f", away from {', '.join(map(str, options.without))}"
    else:
        directions, names = _directions(options, known_codes)
        amounts = np.linspace(-options.range, options.range, options.steps)
        one = None if labels is None else labels[:1]
        rows = np.concatenate(
            [latent.traverse(model, codes[:1], d, amounts, one) for d in directions]
        )  # (directions, steps, D)
        title = f"{run.kind.sample} {samples.rows[0]} ± {options.range:g} standard deviations"
    run.write(out, rows, list(rows), names, title)


def _directions(options: argparse.Namespace, codes: Array) -> tuple[Array, list[str]]:
    """Directions of one standard deviation each, and their names."""
    Z, spread = codes.shape[1], codes.std(axis=0)
    if options.components:
        if options.components > Z:
            raise MinaeError(f"the code has {Z} numbers: give --components 1 to {Z}")
        mean, basis = principal_components(codes, options.components)  # (Z, K)
        directions = (basis * ((codes - mean) @ basis).std(axis=0)).T  # (K, Z)
        return directions, [f"component {k + 1}" for k in range(len(directions))]
    axes = options.axes or sorted(np.argsort(-spread)[:AXES].tolist())
    if max(axes) >= Z:
        raise MinaeError(f"the code has {Z} numbers: give --axes 0 to {Z - 1}")
    return np.eye(Z)[axes] * spread[axes, None], [f"z {axis}" for axis in axes]


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), traverse, arguments)


if __name__ == "__main__":
    sys.exit(main())
