"""Timing side by side: A B C A B C ..., so that whatever the machine does, it does it to all."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minae.errors import MinaeError
from minae.threads import cores

SETTLE = 0.1  # seconds of untimed steps after a switch: the others' threads stop spinning
TURN = 0.15  # seconds that are timed in one turn
LEAST_STEPS = 3  # in both, where a step takes longer
DISTURBED = 0.2  # of a core that others take
PATIENCE = 3

# ends by itself when the process that started it, whose number it is given, is gone
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    sum(range(100000))"


@dataclass(frozen=True)
class Contender:
    """Something that makes steps, and how the threads it uses are bounded."""

    name: str
    step: Callable[[], object]
    set_threads: Callable[[int], None]


def check_threads(threads: int) -> None:
    if not 1 <= threads <= cores():
        raise MinaeError(f"--threads is 1 to {cores()}, the cores of this machine, found {threads}")


@dataclass
class Timing:
    """Seconds a step of each turn, by contender, and how many of the turns were timed while other
    processes took more than DISTURBED of a core."""

    turns: dict[str, list[float]]
    disturbed: int = 0

    def ms(self, name: str) -> float:
        """Median of the turns, in milliseconds."""
        return 1e3 * float(np.median(self.turns[name]))

    def __str__(self) -> str:
        return f"{self.disturbed} of {sum(map(len, self.turns.values()))} turns disturbed"


def alternate(
    contenders: Sequence[Contender],
    *,
    threads: int,
    rounds: int,
    turn: float = TURN,
    settle: float = SETTLE,
    patience: int = PATIENCE,
    average: Callable[[list[float]], Any] = np.median,
) -> Timing:
    """Time them in turns, the average of the steps of each. A disturbed turn is taken again,
    `patience` times at most.

    Two threads that wait for each other by spinning, as those of BLAS do, take a hundred times as
    long when they must share a core with a third: no median helps against that.
    """
    timing = Timing({contender.name: [] for contender in contenders})
    for _ in range(rounds):
        for contender in contenders:
            contender.set_threads(threads)
            for _ in range(patience + 1):
                run_for(contender.step, settle)
                before = seconds_of_others()
                times = run_for(contender.step, turn)
                disturbed = seconds_of_others() - before > DISTURBED * sum(times)
                if not disturbed:
                    break
            timing.turns[contender.name].append(float(average(times)))
            timing.disturbed += disturbed
    return timing


def seconds_of_others() -> float:
    """Seconds that other processes have computed on all cores, to a hundredth; 0 where Linux's
    /proc is missing."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, *interrupts = map(int, file.readline().split()[1:9])
    except OSError:
        return 0.0
    everything = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return everything - time.process_time()


def run_for(step: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each step, as many as fit."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < LEAST_STEPS or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def busy(processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that compute all the while; they are gone when the block is left."""
    command = [sys.executable, "-c", BUSY, str(os.getpid())]
    running = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()
