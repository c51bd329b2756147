"""The ledger of a trained model again, on the data of its run or on any other."""

import argparse
import sys
from collections.abc import Sequence

from minae import command, ledger
from minae.errors import MinaeError
from minae.run import write_json


def parser() -> command.Parser:
    p = command.parser_for("evaluate", __doc__)
    p.add_argument(
        "--out", type=command.output(".json"), metavar="FILE", help="write the figures as .json"
    )
    return p


def evaluate(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("evaluate")
    samples = run.samples(options)
    figures = model.evaluate(samples.images, samples.labels)
    print(f"{run.name} on {len(samples)} {run.kind.samples} of {options.data or options.split}")
    if figures.keys() & {key for key, *_ in ledger.COLUMNS}:
        lines = ledger.table({options.split: figures}, run.kind.say)
        if options.data:  # neither part of the run's own
            lines = lines.replace(f"\n{options.split} set\n", f"\n{options.data.name}\n")
        print(lines)
    else:
        print("\n".join(f"{name} {value:.5g}" for name, value in figures.items()))
    if options.out:
        try:
            write_json(options.out, figures)
        except OSError as error:
            raise MinaeError(f"cannot write {options.out} ({error.strerror})") from error
        print(options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), evaluate, arguments)


if __name__ == "__main__":
    sys.exit(main())
