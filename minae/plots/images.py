"""Images in rows and columns, every pixel as large as the next."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array, Pair
from minae.plots.figure import DPI, TICK, annotate, open_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 2  # pixels of paper between two images of a grid
GRID_WIDTH, IMAGE_WIDTH = 1200, 112  # dots that a grid and an image of it may take, if they can


def reconstructions(
    path: Path,
    originals: Array,
    reconstructions: Array,
    image_shape: Pair,
    captions: tuple[str, str] = ("original", "reconstruction"),
    *,
    columns: int = 12,
    title: str = "",
) -> None:
    """The first `columns` originals, and below each its reconstruction. Both are (N, H·W)."""
    if originals.shape != reconstructions.shape:
        raise ValueError(f"originals {originals.shape} and reconstructions {reconstructions.shape}")
    shown = np.concatenate([originals[:columns], reconstructions[:columns]])  # (2·columns, H·W)
    image_grid(path, shown, image_shape, len(shown) // 2, title=title, row_labels=captions)


def image_grid(
    path: Path,
    images: Array,
    image_shape: Pair,
    columns: int,
    *,
    title: str = "",
    row_labels: Sequence[str] = (),
) -> None:
    """Images (N, H·W) row by row, `columns` in each; row_labels stand left of the rows."""
    rows = -(-len(images) // columns)
    if row_labels and len(row_labels) != rows:
        raise ValueError(f"{len(row_labels)} row labels, {rows} wanted")
    with _grid(path, images, image_shape, columns, GAP) as axes:
        centres = (np.arange(len(row_labels)) + 0.5) * (image_shape[0] + GAP) - GAP / 2
        axes.set_xticks([])
        axes.set_yticks(centres, row_labels)
        axes.spines[:].set_visible(False)
        annotate(axes, title, "", "")


def decoded_grid(
    path: Path,
    images: Array,
    image_shape: Pair,
    z1: npt.ArrayLike,
    z2: npt.ArrayLike,
    *,
    title: str = "",
    axis_labels: tuple[str, str] = ("z₁", "z₂"),
) -> None:
    """What a decoder makes of a grid of two-dimensional codes.

    z1: values of the columns from left to right;  z2: values of the rows from top to bottom;
    images: (rows·columns, H·W), image r·columns + c decoded from (z1[c], z2[r]).
    """
    H, W = image_shape
    columns, rows = np.asarray(z1), np.asarray(z2)
    if len(images) != len(rows) * len(columns):
        raise ValueError(f"{len(images)} images, {len(rows)}·{len(columns)} wanted")
    with _grid(path, images, image_shape, len(columns), gap=0) as axes:
        annotate(axes, title, *axis_labels)
        axes.set_xticks((np.arange(len(columns)) + 0.5) * W, [_two_decimals(z) for z in columns])
        axes.set_yticks((np.arange(len(rows)) + 0.5) * H, [_two_decimals(z) for z in rows])
        axes.tick_params(labelsize=TICK)


def _two_decimals(z: float) -> str:
    return f"{round(z, 2) + 0.0:g}"  # + 0.0 turns -0 into 0


@contextmanager
def _grid(path: Path, images: Array, image_shape: Pair, columns: int, gap: int) -> Iterator["Axes"]:
    """Axes filled with the images, `columns` in a row, measured in image pixels from the top left.

    The axes are a whole number of dots a pixel wide, so that every pixel is drawn equally large.
    """
    H, W = image_shape
    rows = -(-len(images) // columns)
    cells = np.zeros((rows * columns, H + gap, W + gap), np.float32)
    cells[: len(images), :H, :W] = images.reshape(len(images), H, W)
    picture = (
        cells.reshape(rows, columns, H + gap, W + gap)
        .transpose(0, 2, 1, 3)  # (rows, H + gap, columns, W + gap)
        .reshape(rows * (H + gap), columns * (W + gap))[: -gap or None, : -gap or None]
    )
    height, width = picture.shape
    dots = max(1, min(IMAGE_WIDTH // W, GRID_WIDTH // width))
    with open_figure(path, width * dots / DPI, height * dots / DPI) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        extent = (0, width, height, 0)
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", extent=extent)
        yield axes
