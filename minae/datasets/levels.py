"""Game levels made by rule: tile maps of 16×16, the scene of a platform game.

The ground rises and falls by a tile from column to column and has gaps of two or three columns.
On it stand, each in some levels, pipes of two columns, enemies and a flag at the right; above it
hang platforms of bricks, three to five tiles long and a jump (three or four tiles) high, with coins
in a row over some of them. So in every level

- below a ground tile there is ground, down to the bottom;
- an enemy, a pipe and the flag stand on ground or on a pipe;
- coins float one tile above a platform.

A map is kept as one byte image a kind of tile, (kinds, 16, 16), 255 where the tile is of that kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minae.backends.spec import Array
from minae.datasets.dataset import Dataset, Rows
from minae.datasets.split import split_off
from minae.datasets.text import read_lines, shown, wrong
from minae.errors import MinaeError
from minae.layers.layer import Shape

KINDS = ("sky", "ground", "brick", "coin", "pipe", "enemy", "flag")
COLOURS = ("#cfe6f7", "#8a5a34", "#c96a3a", "#f0c420", "#2e8b3d", "#5b2a86", "#d62728")  # drawn so
SIGNS = "-X=o[E|"  # of the kinds, in text files
SIZE = 16


@dataclass(frozen=True, eq=False)
class LevelSet(Dataset):
    """Tile maps as one-hot bytes (M, kinds·16·16). Labels: how many gaps the ground has."""

    sample: ClassVar[str] = "map"
    samples: ClassVar[str] = "maps"
    number: ClassVar[str] = "value"
    place: ClassVar[str] = "tile"

    map_shape: Shape = (len(KINDS), SIZE, SIZE)

    @classmethod
    def load(cls, path: Path | None = None) -> "LevelSet":
        return load_levels(path)

    @classmethod
    def read(cls, path: Path, split: str, model: Any, class_names: Sequence[str]) -> Rows:
        return Rows(*one_hot(read_levels(path)))

    @classmethod
    def parts(cls, model: Any) -> dict[str, slice]:
        K = len(KINDS)
        D = K * SIZE * SIZE
        return {f"tile ({i // SIZE}, {i % SIZE})": slice(i, D, SIZE * SIZE) for i in range(D // K)}

    @classmethod
    def compare(cls, model: Any, x: Array, y: Array) -> str:
        right = drawn(x) == drawn(y)
        return f"{right.mean():.2%} of the tiles right"


def drawn(images: Array) -> Array:
    """The likeliest kind of each tile, int64 (M, 16, 16), of rows (M, kinds·16·16); len(KINDS), a
    blank, where a tile is of no kind at all."""
    maps = images.reshape(-1, len(KINDS), SIZE, SIZE)
    kinds: Array = np.where(maps.max(axis=1) > 0, maps.argmax(axis=1), len(KINDS))
    return kinds


def one_hot(maps: Array) -> tuple[Array, Array]:
    """Maps int (M, 16, 16) as rows uint8 (M, kinds·16·16), and their numbers of gaps (M,)."""
    images = (255 * (maps[:, None] == np.arange(len(KINDS))[:, None, None])).astype(np.uint8)
    ground = maps[:, -1] == KINDS.index("ground")  # (M, 16)
    gaps = (ground[:, :-1] & ~ground[:, 1:]).sum(axis=1)
    return images.reshape(len(maps), -1), gaps


def load_levels(path: Path | None = None) -> LevelSet:
    """Levels of a text file, or levels made here; a seventh of them is for the test.

    The file holds maps of 16 lines of 16 signs one below the other, blank lines between them
    allowed: - sky, X ground, = brick, o coin, [ pipe, E enemy, | flag. Raises MinaeError for a line
    of another length, an unknown sign, or a map cut short.
    """
    maps = generate_levels() if path is None else read_levels(path)
    name = "levels made by minae" if path is None else path.name.split(".")[0]
    images, gaps = one_hot(maps)
    train, test = split_off(len(maps))
    return LevelSet(name, images[train], gaps[train], images[test], gaps[test])


def read_levels(path: Path) -> Array:
    """Maps of a text file, int64 (M, 16, 16)."""
    rows = []
    for line, text in read_lines(path):
        text = text.strip()
        if len(text) != SIZE:
            raise wrong(path, line, f"{len(text)} signs", f"{SIZE}, a row of a map")
        for sign in text:
            if sign not in SIGNS:
                raise wrong(path, line, shown(sign), f"one of {' '.join(SIGNS)}")
        rows.append([SIGNS.index(sign) for sign in text])
    if len(rows) % SIZE:
        raise MinaeError(f"{path} ends after {len(rows) % SIZE} rows of a map, {SIZE} wanted")
    return np.array(rows).reshape(-1, SIZE, SIZE)


def generate_levels(count: int = 4200, seed: int = 0) -> Array:
    """Maps int64 (count, 16, 16), row 0 at the top; the numbers index KINDS."""
    rng = np.random.default_rng(seed)
    return np.stack([_level(rng) for _ in range(count)])


def _level(rng: np.random.Generator) -> Array:
    level = np.zeros((SIZE, SIZE), np.int64)
    sky, ground, brick, coin, pipe, enemy, flag = range(len(KINDS))
    height = int(rng.integers(2, 5))
    heights = []
    for _ in range(SIZE):
        if rng.random() < 0.15:
            height = int(np.clip(height + rng.choice([-1, 1]), 2, 5))
        heights.append(height)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.45, 0.15]))):
        start, width = int(rng.integers(2, 12)), int(rng.integers(2, 4))
        heights[start : start + width] = [0] * width
    for column, high in enumerate(heights):
        level[SIZE - high :, column] = ground

    def standing(column: int) -> int:
        """Row above the ground of a column."""
        return SIZE - 1 - heights[column]

    if rng.random() < 0.5:
        column = int(rng.integers(1, 13))
        if heights[column] and heights[column] == heights[column + 1]:
            top = standing(column)
            level[top - int(rng.integers(1, 3)) : top + 1, column : column + 2] = pipe
    if rng.random() < 0.6:
        start, width = int(rng.integers(1, 10)), int(rng.integers(3, 6))
        row = int(rng.integers(6, 8))
        if (level[row - 2 : row + 2, start : start + width] == sky).all():
            level[row, start : start + width] = brick
            if rng.random() < 0.7:
                level[row - 1, start : start + width] = coin
    if rng.random() < 0.4 and heights[14] and level[standing(14), 14] == sky:
        level[standing(14) - 3 : standing(14) + 1, 14] = flag
    for column in rng.choice(13, 2, replace=False):
        if heights[column] and level[standing(column), column] == sky and rng.random() < 0.5:
            level[standing(column), column] = enemy
    return level
