"""Maps of tiles, each kind in its colour."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minae.backends.spec import Array
from minae.plots.figure import TEXT, annotate, open_figure


def tile_maps(
    path: Path,
    maps: Array,
    kinds: Sequence[str],
    colours: Sequence[str],
    columns: int,
    title: str,
    *,
    row_labels: Sequence[str] = (),
) -> None:
    """Maps int (M, H, W) of tiles, each kind in its colour, `columns` in a row, with a legend; a
    tile of the number len(kinds) is blank. row_labels stand left of the rows."""
    from matplotlib.colors import ListedColormap

    M, H, W = maps.shape
    rows = -(-M // columns)
    picture = np.full((rows * (H + 1) - 1, columns * (W + 1) - 1), len(kinds))
    for m, tiles in enumerate(maps):
        i, j = divmod(m, columns)
        picture[i * (H + 1) : i * (H + 1) + H, j * (W + 1) : j * (W + 1) + W] = tiles
    with open_figure(path, 0.075 * picture.shape[1], 0.075 * picture.shape[0]) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        paint = ListedColormap([*colours, "#ffffff"])
        axes.imshow(picture, cmap=paint, vmin=0, vmax=len(kinds), interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks((np.arange(len(row_labels)) + 0.5) * (H + 1) - 1, row_labels)
        axes.spines[:].set_visible(False)
        annotate(axes, title, "", "")
        for kind, colour in zip(kinds, colours, strict=True):
            axes.scatter([], [], s=40, marker="s", color=colour, label=kind)
        axes.legend(
            fontsize=TEXT,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            ncols=len(kinds),
            handletextpad=0.2,
        )
