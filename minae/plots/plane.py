"""Points and arrows in a plane: codes of two numbers, and where a model moves them."""

from pathlib import Path

import numpy as np

from minae.backends.spec import Array
from minae.plots.figure import COLOURS, TEXT, TICK, TITLE, annotate, open_figure


def latent_scatter(
    path: Path,
    codes: Array,
    labels: Array,
    *,
    title: str = "",
    axis_labels: tuple[str, str] = ("z₁", "z₂"),
) -> None:
    """Codes (N, 2) as points coloured by label (N,), on equal scales.

    Codes of more dimensions are projected by the caller, who says so in axis_labels
    ("first principal component of z").
    """
    from matplotlib import colormaps

    classes = np.unique(labels)
    with open_figure(path, 5.6, 5.0) as figure:
        axes = figure.add_subplot(aspect="equal", adjustable="datalim")
        colours = (
            np.array(COLOURS[: len(classes)])
            if len(classes) <= len(COLOURS)
            else colormaps["turbo"](np.linspace(0, 1, len(classes)))
        )
        # One call in the order of the samples: no class is drawn over all others.
        axes.scatter(
            codes[:, 0], codes[:, 1], s=4, c=colours[np.searchsorted(classes, labels)], linewidths=0
        )
        axes.grid(color="#e4e4e4", linewidth=0.6)
        annotate(axes, title, *axis_labels)
        for name, colour in zip(classes, colours, strict=True):
            axes.scatter([], [], s=30, color=colour, label=str(name))
        axes.legend(
            fontsize=TEXT,
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            handletextpad=0.2,
            ncols=-(-len(classes) // 20),
        )


def vector_field(
    path: Path,
    starts: Array,
    ends: Array,
    lengths: Array,
    curve: Array,
    *,
    title: str = "",
) -> None:
    """Arrows from starts (N, 2) to ends (N, 2) in the unit square, over the curve (M, 2) of the
    data; beside them lengths (R, R), how far the point of row i (upwards) and column j travels."""
    with open_figure(path, 9.4, 4.3) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.09))
        left.plot(curve[:, 0], curve[:, 1], color=COLOURS[1], linewidth=2)
        ways = ends - starts
        left.quiver(
            starts[:, 0], starts[:, 1], ways[:, 0], ways[:, 1],
            angles="xy", scale_units="xy", scale=1, width=0.003, color="#333333",
        )  # fmt: skip
        picture = right.imshow(lengths, origin="lower", extent=(0, 1, 0, 1), cmap="viridis")
        right.plot(curve[:, 0], curve[:, 1], color="white", linewidth=0.8)
        bar = figure.colorbar(picture, ax=right, fraction=0.046, pad=0.03)
        bar.ax.tick_params(labelsize=TICK)
        for axes, heading in ((left, "input → output"), (right, "distance travelled")):
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            axes.set_aspect("equal")
            annotate(axes, heading, "", "")
        figure.suptitle(title, fontsize=TITLE, y=0.98)
