"""The number of threads: what the user says stays; else one while the machine is busy. And the
parts of a batch that they take."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from comparison import DTYPES, SEEDS, Draw, check
from operations import CASES
from threadpoolctl import threadpool_info, threadpool_limits

from minae import MinaeError, get_backend, threads
from minae.backends.cpu_numba import sample_last, sparse
from minae.backends.cpu_numba import threads as numba_threads
from minae.backends.cpu_numba.vectors import RUN
from minae.backends.spec import STRIP
from minae.layers.layer import Strips
from minae.threads import STEPS, Threads, cores


class Machine:
    """A backend whose products take as long as the test says, by number of threads."""

    name = "numba"

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


# ------------------------------------------------------------ the parts that threads take
@pytest.fixture(params=["three parts", "chunks"])
def cut_up(request, monkeypatch):
    """numba, which cuts even small batches into parts, or the part of one thread into chunks."""
    numba = get_backend("numba")
    if request.param == "three parts":
        numba.set_threads(3)
        monkeypatch.setattr(numba_threads, "_LEAST", 1)
    else:
        monkeypatch.setattr(sample_last, "_CHUNK", RUN)
    yield numba
    numba.set_threads(1)


@pytest.mark.parametrize("name", CASES)
def test_each_operation_in_parts(cut_up, name):
    for seed in SEEDS:
        check(cut_up, name, CASES[name](Draw(np.float32, seed)), np.float32)
    for dtype in DTYPES:
        check(cut_up, name, CASES[name](Draw(dtype, 0, large=True)), dtype)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("K", [30, 32])
def test_sparse_products_of_several_chunks_a_part(parts, K, rng):
    numba, (N, D) = get_backend("numba"), (2 * sparse._CHUNK + 90, 72)
    pixels = rng.integers(0, 256, (50, D)) * (rng.random((50, D // STRIP)) < 0.4).repeat(STRIP, 1)
    rows = rng.integers(0, 50, N)
    given = {"strips": Strips.of(numba, pixels.astype(np.uint8)).bits, "rows": rows, "scale": 1.0}
    w, dy = rng.normal(size=(K, D)), rng.normal(size=(N, K))
    y, dw = np.full((N, K), np.nan), np.full((K, D), np.nan)
    numba.set_threads(parts)
    try:
        for x in (pixels[rows].astype(float), pixels[rows].astype(np.uint8)):
            sparse.scaled_sparse_matmul(x=x, w=w, out=y, **given)
            sparse.scaled_sparse_weight_gradient(x=x, dy=dy, out=dw, **given)
            np.testing.assert_allclose(y, pixels[rows] @ w.T, rtol=0, atol=1e-9)
            np.testing.assert_allclose(dw, dy.T @ pixels[rows], rtol=0, atol=1e-9)
    finally:
        numba.set_threads(1)


@pytest.mark.parametrize("N", [1, 31, 32, 33, 70, 257])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_share_out_every_sample_once(N, parts):
    for share in (numba_threads.share, sample_last.share_of_runs):
        bounds = [share(part, parts, N) for part in range(parts)]
        assert [n for first, end in bounds for n in range(first, end)] == list(range(N))


def test_blas_and_kernels_share_one_pool(monkeypatch):
    """Two pools of waiting threads take the cores from each other."""
    numba = get_backend("numba")
    monkeypatch.setattr(numba_threads, "_most_parts", 1)
    with threadpool_limits():  # restores BLAS's threads
        numba.set_threads(2)
        in_blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        assert numba_threads.parts(2, 2 * numba_threads._LEAST) * max(in_blas) == min(2, cores())
        assert numba_threads.parts(2, 2 * numba_threads._LEAST - 1) == 1


def test_without_products_for_kernels_blas_keeps_its_threads(monkeypatch):
    monkeypatch.setattr(numba_threads, "_most_parts", 1)
    monkeypatch.setattr(numba_threads, "products", lambda: None)
    asked = []
    blas = SimpleNamespace(limit=lambda limits: asked.append(limits))
    monkeypatch.setattr(numba_threads, "_blas", lambda: blas)
    numba_threads.set_threads(2)
    assert asked == [2]
    assert numba_threads.parts(1000, 10**9) == 1
