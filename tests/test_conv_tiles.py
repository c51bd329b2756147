"""How rows of a convolution are shared out among tiles: all of them, and few too many."""

import pytest

from minae.backends.cpu_numba.conv2d_channels import tiles

MOST = 60


def sizes_of(tile, rows):
    """The tiles of so many rows, one after another."""
    taken = []
    while sum(taken) < rows:
        taken.append(int(tile[rows - sum(taken)]))
    return taken


@pytest.mark.parametrize("sizes", [(9, 7, 4), (4, 3, 2)])
def test_all_rows_and_fewer_too_many_than_the_smallest_tile(sizes):
    """For which scratch has room."""
    tile = tiles(sizes, MOST)
    for rows in range(1, MOST + 1):
        assert 0 <= sum(sizes_of(tile, rows)) - rows < min(sizes)


def test_what_convolutions_of_the_recipes_have():
    tile = tiles((9, 7, 4), MOST)
    wanted = {4: [4], 9: [9], 16: [7, 9], 25: [7, 9, 9], 36: [9] * 4, 49: [4] + [9] * 5}
    assert {rows: sorted(sizes_of(tile, rows)) for rows in wanted} == wanted
