"""Each part's scratch: of the shape that is asked for, and no two parts in one page."""

import numpy as np
import pytest

from minae.backends.cpu_numba.jit import elementwise
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts

PAGE, PARTS = 4096, 3


@elementwise
def _fill(x, part, number):
    """Writes all of a part's array, and tells its length."""
    of_part = part_of(x, part)
    numbers = of_part.reshape(-1)
    for i in range(len(numbers)):
        numbers[i] = number
    return len(of_part)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(1,), (5,), (4096,), (0, 3), (7, 100), (2, 3, 1025), (3, 2, 5, 7)]
)
def test_parts_have_their_shape_and_lie_a_page_apart(shape, dtype):
    x = scratch_of_parts("test", PARTS, shape, dtype)
    x[:] = 0
    for part in range(PARTS):
        assert _fill(x, part, part + 1) == shape[0]
    assert x.shape[2:] == shape[1:]
    for part in range(PARTS):
        np.testing.assert_array_equal(x[part, : shape[0]], part + 1)
        spare = x[part, shape[0] :]
        assert not spare.any() and PAGE <= spare.nbytes < PAGE + spare[0].nbytes
