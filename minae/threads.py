"""How many threads a training runs on.

On a busy machine the threads of one of BLAS's products wait for each other's turn on a core: beside
two busy processes on two cores a product of 0.4 ms takes 20 ms on two threads, and 1 ms on one,
which only shares its core. (Those of the numba backend wait less, see its `pool.py`.) So where the
user leaves the number open, a trial decides, at the start and again when steps become much slower.
Results differ by rounding between numbers of threads.
"""

import os
import time

import numpy as np

from minae.backends.spec import Backend
from minae.errors import MinaeError

PRODUCTS = 9  # in a trial
STEPS = 10  # over which the time of a step is averaged
SLOWER = 5.0  # times the fastest average: time for another trial


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Threads:
    """Sets a backend's number of threads and keeps it fitting.

    wanted: a number, which then stays; None for all cores, or one while the machine is busy.
    """

    def __init__(self, ops: Backend, wanted: int | None) -> None:
        if wanted is not None and wanted > cores():
            raise MinaeError(f"{wanted} threads are more than the {cores()} cores of this machine")
        self.ops = ops
        self.adapts = wanted is None and cores() > 1 and ops.name != "cupy"
        self.count = wanted or cores()
        self._seconds, self._steps, self._fastest = 0.0, 0, float("inf")
        ops.set_threads(self.count)
        if self.adapts:
            self._choose()

    def watch(self, seconds: float) -> bool:
        """Take note of a step that took so long; returns whether the number of threads changed."""
        if not self.adapts or self.count == 1:
            return False
        self._seconds, self._steps = self._seconds + seconds, self._steps + 1
        if self._steps < STEPS:
            return False
        average, self._seconds, self._steps = self._seconds / STEPS, 0.0, 0
        self._fastest = min(self._fastest, average)
        if average < SLOWER * self._fastest:
            return False
        self._choose()
        return self.count == 1

    def _choose(self) -> None:
        """One thread if a matrix product takes less time on one than on all."""
        times = {}
        for count in (cores(), 1):
            self.ops.set_threads(count)
            times[count] = self._product_seconds()
        self.count = min(times, key=times.__getitem__)
        self.ops.set_threads(self.count)

    def _product_seconds(self) -> float:
        """Median time of a product as they occur in training, 256x784 by 784x400."""
        a, b = (self.ops.zeros(shape, np.float32) for shape in ((256, 784), (784, 400)))
        out = self.ops.empty((256, 400), np.float32)
        seconds = []
        for _ in range(PRODUCTS):
            begin = time.perf_counter()
            self.ops.matmul(a, b, out=out)
            seconds.append(time.perf_counter() - begin)
        return float(np.median(seconds))
