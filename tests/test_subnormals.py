"""Numbers too small for their whole precision: zero in kernels, on each thread, and only there."""

import numpy as np
import pytest

from minae.backends.cpu_numba import subnormals
from minae.backends.cpu_numba.jit import noted_kernels, threaded
from minae.backends.cpu_numba.pool import Pool, make_ready
from tests.test_pool import meet, run_by_all

pytestmark = pytest.mark.skipif(
    not subnormals._HAS_MXCSR, reason="this processor has no such mode, or needs none"
)
THREADS = 3
TINY, SMALL = np.float32(1e-30), np.float32(1e-10)


@threaded
def _multiply(part, parts, words, x, y, out):
    """Each part a product, on a thread of its own."""
    meet(words, part, parts)
    out[part] = x[part] * y[part]


def products(threads, x, y):
    """A product of each part, done by its worker."""
    out = np.full(THREADS, -1, np.float32)
    begun = np.zeros(THREADS, np.int64)
    with noted_kernels() as noted:
        _multiply(THREADS, begun.ctypes.data, np.full(THREADS, x), np.full(THREADS, y), out)
    run_by_all(threads, noted.called[0], begun)
    return out


@pytest.fixture
def threads():
    made = Pool(THREADS)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [
        (TINY, SMALL, 0),  # a subnormal result
        (TINY * SMALL, np.float32(1e20), 0),  # a subnormal operand
        (TINY, np.float32(1e-7), TINY * np.float32(1e-7)),  # the smallest there are
    ],
)
def test_on_all_threads(threads, x, y, wanted):
    assert (products(threads, x, y) == wanted).all()


def test_whoever_calls_kernels_goes_on_as_before(threads):
    make_ready()
    products(threads, TINY, SMALL)
    assert TINY * SMALL > 0
