"""minae beside its rivals on this processor, in one run.

    python -m bench.cpu [--models vanilla,cvae] [--batch-sizes 256] [--threads N] [--rounds N] ...

alternates minae's backends, PyTorch and the bare matrix products of the step, after a check that
all compute the same loss. What the columns mean: bench/README.md.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import report
from bench.contest import check_losses, contenders, has_jax, rivals_for
from bench.models import BATCH_SIZES, Entry, choose
from bench.timing import alternate, busy, check_threads
from minae.backends import get_backend
from minae.errors import MinaeError
from minae.threads import cores

LOAD = 2  # busy processes


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m bench.cpu",
        description="Time a training step of minae beside PyTorch's, in one run.",
        allow_abbrev=False,
    )
    p.add_argument("--models", metavar="A,B", help="which models (default: all)")
    p.add_argument("--batch-sizes", type=_sizes, metavar="N,N", help="default: 32,256,4096")
    p.add_argument("--threads", type=int, default=cores(), metavar="N", help="default: all cores")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each (default: 7)")
    p.add_argument("--turn", type=float, default=0.15, metavar="S", help="seconds of a turn")
    p.add_argument("--compile", action="store_true", help="torch.compile takes part")
    p.add_argument("--jax", action="store_true", help="JAX takes part")
    p.add_argument(
        "--probe",
        action="store_true",
        help="also memory and time to the first step, each in a process of its own "
        "(the default if neither models nor batch sizes are chosen)",
    )
    p.add_argument("--loaded", action="store_true", help="also beside two busy processes")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    p.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios and a roofline")
    p.add_argument("--operations", action="store_true", help="time each operation instead")
    p.add_argument("--ladder", action="store_true", help="time the ladders instead")
    p.add_argument(
        "--choices",
        action="store_true",
        help="time what the backend's rules choose between instead",
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 for what the user can mend."""
    options = parser().parse_args(arguments)
    try:
        check_threads(options.threads)
        if options.rounds < 1:
            raise MinaeError(f"--rounds is 1 or more, found {options.rounds}")
        if options.operations:
            from bench import operations

            operations.run(options.threads)
        if options.ladder:
            from bench import ladder

            ladder.run(options.threads)
        if options.choices:
            from bench import choices

            choices.run(options.threads)
        if not (options.operations or options.ladder or options.choices):
            contest(options)
    except MinaeError as error:
        print(f"minae: {error}", file=sys.stderr)
        return 2
    return 0


def contest(options: argparse.Namespace) -> list[report.Row]:
    """All models at all batch sizes: prints a table, writes and draws what is asked for."""
    entries = choose(options.models)
    batch_sizes = options.batch_sizes or BATCH_SIZES
    probed = options.probe or not (options.models or options.batch_sizes)
    if options.jax and not has_jax():
        print("JAX is not installed and takes no part: pip install jax")
        options.jax = False
    print(f"{get_backend('numpy').device_name()}, {options.threads} of {cores()} cores\n")
    print(report.header(probed=probed), flush=True)
    rows = []
    for entry in entries:
        for batch_size in batch_sizes:
            rows += measure(entry, batch_size, options, probed=probed)
            if options.json:  # as they come: the whole takes a quarter of an hour
                options.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{report.summary(rows)}")
    if options.plot:
        from bench.plot import plot

        plot(rows, options.threads, options.plot)
    return rows


def measure(
    entry: Entry, batch_size: int, options: argparse.Namespace, *, probed: bool
) -> list[report.Row]:
    """The rows of one model at one batch size, printed as well."""
    check_losses(entry, batch_size, jax=options.jax)
    rivals = rivals_for(entry, compiled=options.compile, jax=options.jax)
    everyone = contenders(entry, rivals, batch_size)
    timing = {"threads": options.threads, "rounds": options.rounds, "turn": options.turn}
    idle = alternate(everyone, **timing)
    rows = report.rows_of(entry, batch_size, options.threads, idle)
    if options.loaded:
        with busy(LOAD):
            # a step is fast, or waits some milliseconds for a turn on a core: the mean says both
            longer = timing | {"turn": 4 * options.turn}
            loaded = alternate(everyone, **longer, patience=0, average=np.mean)
        slow = report.slow_downs(idle, loaded)
        for row in rows:
            row |= {"slow_down": slow[row["backend"]], "rival_slow_down": slow[row["rival"]]}
    del everyone
    if probed:
        from bench.probe import compare

        best = next(row["rival"] for row in rows if row["best_rival"])
        figures = compare(entry.label, batch_size, best, options.threads)
        for row in rows:
            row |= figures[row["backend"]] if row["best_rival"] else {}
    for row in rows:
        if row["best_rival"]:
            print(report.line(row, probed=probed), flush=True)
    if idle.disturbed:
        print(f"  {idle} by other work on this machine")
    if options.loaded:
        words = ", ".join(f"{name} {factor:.2f}" for name, factor in slow.items())
        print(
            f"  beside {LOAD} busy processes a step takes so many times longer, on average: {words}"
        )
    return rows


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of batch sizes such as 32,256")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
