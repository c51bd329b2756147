"""From the naive version of a step to the final one, rung by rung, each checked and timed.

    python -m bench.cpu --ladder

`output_layer.py`, `with_its_products.py` and `first_convolution.py` hold the rungs; how to read
them: bench/README.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from bench.timing import Contender, Timing, alternate
from minae.backends import get_backend
from minae.backends.spec import Array
from minae.errors import MinaeError

TURN, SETTLE, ROUNDS = 0.05, 0.05, 5


@dataclass(frozen=True)
class Rung:
    """One version: what it does in words, and a call that returns its results.

    `part`: the share of the batch that one call computes, where the whole would take too long; its
    results are then those of the first samples.
    """

    name: str
    run: Callable[[], tuple[Array, ...]]
    part: float = 1.0


def check(rungs: list[Rung]) -> None:
    """Raise MinaeError unless every rung computes what the last one does, up to rounding."""
    wanted = rungs[-1].run()
    for rung in rungs:
        for found, value in zip(rung.run(), wanted, strict=True):
            value = value[: len(found)]
            if not np.abs(found - value).max() <= 1e-5 * np.abs(value).max():
                raise MinaeError(f"the rung {rung.name!r} computes something else than the last")


def timed(rungs: list[Rung], threads: int, rounds: int, turn: float) -> Timing:
    """All rungs in turns."""
    contenders = [Contender(rung.name, rung.run, set_threads) for rung in rungs]
    return alternate(contenders, threads=threads, rounds=rounds, turn=turn, settle=SETTLE)


def set_threads(threads: int) -> None:
    """For BLAS, the backend, and the rungs that are parallel loops of Numba's."""
    get_backend("numba").set_threads(threads)
    numba.set_num_threads(threads)


def table(title: str, rungs: list[Rung], times: list[float]) -> str:
    """Markdown: the time of each rung, and how much faster it is than the one before."""
    lines = [f"### {title}\n", "| rung | ms | times as fast as the rung before | as the first |"]
    lines.append("|---|---:|---:|---:|")
    for i, (rung, ms) in enumerate(zip(rungs, times, strict=True)):
        step, whole = times[max(i - 1, 0)] / ms, times[0] / ms
        note = f" (timed on 1/{1 / rung.part:.0f} of the batch)" if rung.part < 1 else ""
        lines.append(f"| {i + 1}. {rung.name}{note} | {ms:.3g} | {step:.1f} | {whole:.1f} |")
    return "\n".join(lines) + "\n"


def run(threads: int, rounds: int = ROUNDS, turn: float = TURN) -> None:
    """Check, time and print all ladders."""
    from bench.ladder import first_convolution, output_layer, with_its_products

    for ladder in (output_layer, with_its_products, first_convolution):
        rungs = ladder.rungs(threads)
        check(rungs)
        timing = timed(rungs, threads, rounds, turn)
        times = [timing.ms(rung.name) / rung.part for rung in rungs]
        print(table(ladder.TITLE, rungs, times), flush=True)
        if timing.disturbed:
            print(f"{timing} by other work on this machine\n")
