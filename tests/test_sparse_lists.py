"""The lists of samples that strips are multiplied by: the same one by one and by vectors."""

import numpy as np
import pytest

from minae.backends.cpu_numba.compiler import AVX512
from minae.backends.cpu_numba.sparse import _list_by_ones, _list_by_vectors

ROOM = 8  # more places than samples, at least


BY_VECTORS = pytest.param(
    _list_by_vectors, marks=pytest.mark.skipif(not AVX512, reason="there is no AVX-512")
)
BOTH = [_list_by_ones, BY_VECTORS]


@pytest.mark.parametrize("list_samples", BOTH)
@pytest.mark.parametrize("bit", [0, 1, 31, 32, 62, 63])
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
def test_all_samples_with_the_bit_in_their_order(list_samples, bit, density):
    random = np.random.default_rng(bit)
    for count in (0, 1, 7, 8, 9, 63, 64, 100, 255, 256):
        has = random.random(256) < density
        others = random.integers(0, 2**64, 256, dtype=np.uint64) & ~np.uint64(1 << bit)
        words = others | has.astype(np.uint64) << np.uint64(bit)
        samples = np.full(256 + ROOM, -1)
        found = list_samples(words, bit, count, samples)
        wanted = np.flatnonzero(has[:count])
        np.testing.assert_array_equal(samples[:found], wanted)
        assert (samples[found + ROOM :] == -1).all()
