"""The number of threads: what the user says stays; else one while the machine is busy."""

import time

import numpy as np
import pytest

from minae import MinaeError, threads
from minae.threads import STEPS, Threads


class Machine:
    """A backend whose products take as long as the test says, by number of threads."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.count = None

    def set_threads(self, count):
        self.count = count

    def zeros(self, shape, dtype):
        return np.zeros(shape, dtype)

    empty = zeros

    def matmul(self, a, b, *, out):
        time.sleep(self.seconds[self.count])


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)


def test_a_given_number_stays(two_cores):
    machine = Machine({1: 0.0, 2: 0.005})
    chosen = Threads(machine, 2)
    assert not any(chosen.watch(seconds) for seconds in [0.001] * STEPS + [1.0] * STEPS)
    assert (chosen.count, machine.count) == (2, 2)


def test_more_threads_than_cores_are_refused(two_cores):
    with pytest.raises(MinaeError, match="3 threads are more than the 2 cores"):
        Threads(Machine({}), 3)


@pytest.mark.parametrize(
    ("seconds", "count"), [({1: 0.004, 2: 0.001}, 2), ({1: 0.001, 2: 0.02}, 1)]
)
def test_the_trial_takes_the_faster(two_cores, seconds, count):
    machine = Machine(seconds)
    assert Threads(machine, None).count == count
    assert machine.count == count


def test_a_machine_that_becomes_busy_is_noticed_once(two_cores):
    machine = Machine({1: 0.004, 2: 0.001})
    chosen = Threads(machine, None)
    assert not any(chosen.watch(0.001) for _ in range(5 * STEPS))
    machine.seconds = {1: 0.001, 2: 0.02}
    changes = [chosen.watch(0.1) for _ in range(5 * STEPS)]
    assert changes.count(True) == 1
    assert machine.count == 1


def test_slow_steps_alone_do_not_cost_a_thread(two_cores):
    machine = Machine({1: 0.004, 2: 0.001})
    chosen = Threads(machine, None)
    assert not any(chosen.watch(s) for s in [0.001] * STEPS + [0.1] * 3 * STEPS)
    assert machine.count == 2
