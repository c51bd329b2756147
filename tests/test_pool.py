"""The threads of the Numba backend: each part once and in order, and no waiting for a late one."""

import os
import threading
import time

import numpy as np
import pytest

from minae.backends.cpu_numba import pool
from minae.backends.cpu_numba.jit import elementwise, noted_kernels, threaded
from minae.backends.cpu_numba.pool import Pool, _Worker

PARTS, KERNELS = 3, 50


@threaded
def _pass_on(part, parts, kernel, busy, times, passed):
    """Counts how often it ran, and 1 more than the part beside it did one kernel before."""
    x = 0.5
    for _ in range(busy):
        x = 3.7 * x * (1 - x)
    times[kernel, part] += int(x < 1)
    passed[kernel, part] = 1 + passed[kernel - 1, (part + 1) % parts]


class Chain:
    """Kernels each of which reads what other parts of the one before it have written."""

    def __init__(self, busy=0):
        self.times = np.zeros((KERNELS + 1, PARTS), np.int64)
        self.passed = np.zeros((KERNELS + 1, PARTS), np.int64)
        with noted_kernels() as self.noted:
            for k in range(1, KERNELS + 1):
                _pass_on(PARTS, k, busy, self.times, self.passed)
        self.codes = np.array([kernel.code for kernel in self.noted.called])
        self.places = np.array([kernel.place for kernel in self.noted.called])

    def runs(self, threads, runs):
        """Whether each part of each kernel is run once, after those of the kernel before it."""
        for _ in range(runs):
            self.times[1:] = self.passed[1:] = 0
            threads.run(self.codes, self.places, PARTS)
            if (self.times[1:] != 1).any() or (np.arange(KERNELS + 1) != self.passed.T).any():
                return False
        return True


@pytest.fixture
def threads():
    """A pool of three threads, which end with the test."""
    made = Pool(PARTS)
    yield made
    made.end()


@pytest.mark.parametrize("busy", [0, 1000])
def test_each_part_once_and_in_order(threads, busy):
    assert Chain(busy).runs(threads, 200)


def done_by_workers(threads):
    """Of the last kernel: whether parts 1, 2, ... were done by workers."""
    turns = threads._words.reshape(-1, pool._LINES // 8)[3:, 0]  # lines: number, caller, turn[0]
    return (turns % 2 == 1).tolist()


LOOKS = 1_000_000  # a fifth of a second where nobody else wants the core
TRIES = 20


@elementwise
def meet(words, part, parts):
    """Returns when all parts have begun, which they do only if each has a thread of its own;
    otherwise it gives up after so many looks. A word for each part."""
    pool._store(words + 8 * part, 1)
    looks = 0
    for other in range(parts):
        while looks < LOOKS and pool._load(words + 8 * other) == 0:
            looks += 1
            pool._give_way()


@threaded
def _meet(part, parts, words):
    meet(words, part, parts)


def run_by_all(threads, kernel, begun):
    """Runs a kernel whose parts meet, until each is done by its worker: one that has been woken up
    sleeps again if the caller loses its core before the kernel begins."""
    for _ in range(TRIES):
        begun[:] = 0
        threads.run(np.array([kernel.code]), np.array([kernel.place]), kernel.parts)
        if all(done_by_workers(threads)):
            return
    pytest.fail(f"in none of {TRIES} runs each part had a thread of its own")


def test_each_part_on_a_thread_of_its_own(threads):
    begun = np.zeros(PARTS, np.int64)
    with noted_kernels() as noted:
        _meet(PARTS, begun.ctypes.data)
    for _ in range(20):
        run_by_all(threads, noted.called[0], begun)


def test_parts_of_workers_that_do_not_come(threads, monkeypatch):
    monkeypatch.setattr(Pool, "_start", lambda self: None)
    assert Chain(busy=100).runs(threads, 20)
    assert not any(done_by_workers(threads))


def test_fewer_threads_than_parts():
    two = Pool(PARTS - 1)
    try:
        assert Chain().runs(two, 20)
    finally:
        two.end()


def test_two_callers_at_once(threads):
    found = []
    callers = [
        threading.Thread(target=lambda: found.append(Chain(busy=3000).runs(threads, 100)))
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [True, True]


def wait_for(condition):
    end = time.monotonic() + 30
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.001)
    return met


def test_a_worker_is_woken_up_from_before_its_last_look_on(threads, monkeypatch):
    """Else it sleeps through what is begun while it is on its way."""
    looks = []
    monkeypatch.setattr(pool, "_work", lambda words, part: looks.append(threads._workers[0].asleep))
    monkeypatch.setattr(threads, "_started", True)
    threads._workers.append(_Worker(threads._words, 1))
    threads._workers[0].start()
    for _ in range(20):
        before = len(looks)
        assert Chain().runs(threads, 1)
        assert wait_for(lambda before=before: len(looks) > before)
    assert all(looks)


def test_workers_sleep(threads):
    assert Chain().runs(threads, 1)
    for worker in threads._workers:
        assert wait_for(lambda worker=worker: not busy(worker))


def busy(worker):
    """Whether a thread takes any time of a core within a while."""
    before = seconds_of(worker)
    time.sleep(0.05)
    return seconds_of(worker) > before


def seconds_of(thread):
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def test_a_kernel_of_one_part_wakes_nobody(threads):
    chain = Chain()
    threads.run(chain.codes[:0], chain.places[:0], 1)
    assert threads._workers == []


def test_where_there_are_no_more_threads_the_caller_does_all(threads, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert Chain().runs(threads, 5)
    assert threads._workers == []


def test_a_pool_that_has_ended_starts_no_threads(threads):
    threads.end()
    assert Chain().runs(threads, 5)
    assert threads._workers == []


@pytest.fixture
def shared():
    """The pool of the backend, on three threads."""
    before = pool._pool.threads
    pool.resize(PARTS)
    yield pool
    pool.resize(before)


def test_another_number_of_threads_ends_the_former(shared):
    assert Chain().runs(pool, 5)
    workers = pool._pool._workers
    assert len(workers) == PARTS - 1
    pool.resize(1)
    assert wait_for(lambda: not any(worker.is_alive() for worker in workers))
    assert Chain().runs(pool, 5)
    assert pool._pool._workers == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_is_forked_off_has_threads_of_its_own(shared):
    """Also where a worker, which is not in the new process, held a lock."""
    chain = Chain(busy=1000)
    assert chain.runs(pool, 5)
    with pool._pool._workers[0]._awake._cond:
        child = os.fork()
        if child == 0:
            try:
                right = chain.runs(pool, 50)
                right &= [worker.is_alive() for worker in pool._pool._workers] == [True, True]
            finally:
                os._exit(0 if right else 1)
    assert wait_for(lambda: ended(child))
    assert chain.runs(pool, 5)


def ended(process):
    """Whether it has; that it was right."""
    number, status = os.waitpid(process, os.WNOHANG)
    assert status == 0
    return number == process
