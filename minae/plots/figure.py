"""A figure of Matplotlib that becomes one PNG file, and what all of them have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minae.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
TITLE, TEXT, TICK = 11, 9, 7  # font sizes in points
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd"]
COLOURS += ["#17becf", "#8c564b", "#e377c2", "#bcbd22", "#444444"]


def annotate(axes: "Axes", title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, fontsize=TITLE)
    axes.set_xlabel(x_label, fontsize=TEXT)
    axes.set_ylabel(y_label, fontsize=TEXT)
    axes.tick_params(labelsize=TEXT, length=0)
    axes.set_axisbelow(True)


@contextmanager
def open_figure(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure whose axes take about width × height inches; written to `path` when it is left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    yield figure
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
