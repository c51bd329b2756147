"""Draw new samples: from the prior of a variational model, else from a normal distribution fitted
to the codes of the training set."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from minae import command, latent
from minae.backends.spec import Array
from minae.decode import label_of


def parser() -> command.Parser:
    p = command.parser_for("sample", __doc__, data=False)
    p.add_argument("--count", type=command.whole(1), default=100, metavar="N")
    p.add_argument("--seed", type=command.whole(0, 2**64 - 1), default=0, metavar="N")
    p.add_argument("--label", type=command.whole(0), metavar="C", help="class, for the recipe cvae")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/sample.png; of records a table, .csv), .npy or .csv",
    )
    return p


def sample(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model: Any = run.able("decode")
    out = run.output(options.out, "sample")
    labels = label_of(run, options.label, options.count)
    if hasattr(model, "sample"):
        images: Array = model.sample(options.count, options.seed, **run.labels(labels))
        title = "z ~ N(0, 1)" if labels is None else f"class {options.label}, z ~ N(0, 1)"
    else:
        codes = latent.encode(model, run.part("train").images)
        images = latent.decode(model, latent.fitted_codes(codes, options.count, options.seed))
        title = "random codes, normal as those of the training set"
        print(f"{run.name} has no prior over its codes: {title}")
    run.write(out, images, command.lines(images), title=title)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), sample, arguments)


if __name__ == "__main__":
    sys.exit(main())
