"""Numbers against epochs, steps or sizes: lines on a pair of axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minae.plots.figure import COLOURS, TEXT, annotate, open_figure


def loss_curve(
    path: Path,
    series: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    y_label: str,
    x_label: str = "epoch",
    title: str = "",
    running: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    levels: Mapping[str, float] | None = None,
    log: bool = False,
) -> None:
    """Loss against epochs (or steps); y_label names the loss with its unit.

    series: name -> (x, y), one line each, say of "train" and "test"; points are marked while they
    are few.  running: (x, y) of the single training steps, in the units of the series, drawn pale
    behind them.  levels: name -> value of horizontal lines, such as the floor of the BCE.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    with open_figure(path, 6.0, 3.4) as figure:
        axes = figure.add_subplot()
        if running is not None:
            axes.plot(
                *running,
                color="#b4c4d8",
                marker=_marker(running[1]),
                markersize=3,
                linewidth=0.8,
                label="training batches",
            )
        for number, (name, (x, y)) in enumerate(series.items()):
            # The first is drawn bold, so that it shows where the second covers it.
            width, size = (2.6, 6) if number == 0 else (1.2, 3)
            axes.plot(
                x,
                y,
                color=COLOURS[number % len(COLOURS)],
                marker=_marker(y),
                markersize=size,
                linewidth=width,
                label=name,
            )
        for name, value in (levels or {}).items():
            axes.axhline(value, color="#444444", linestyle="--", linewidth=1, label=name)
        axes.autoscale_view()  # axhline alone leaves no margin around its line
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#e4e4e4", linewidth=0.6)
        annotate(axes, title, x_label, y_label)
        axes.legend(fontsize=TEXT, frameon=False)


def error_bars(
    path: Path,
    series: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float] | None]],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
) -> None:
    """name -> (x, y, half the length of each bar or None), one line each; y begins at 0."""
    with open_figure(path, 5.0, 3.4) as figure:
        axes = figure.add_subplot()
        for number, (name, (x, y, spread)) in enumerate(series.items()):
            axes.errorbar(
                x,
                y,
                spread,
                color=COLOURS[number % len(COLOURS)],
                marker="o",
                markersize=4,
                linewidth=1.4,
                capsize=3,
                label=name,
            )
        if log_x:
            axes.set_xscale("log")
        ticks = next(iter(series.values()))[0]
        axes.set_xticks(ticks, [f"{x:,}" for x in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(color="#e4e4e4", linewidth=0.6)
        annotate(axes, title, x_label, y_label)
        axes.legend(fontsize=TEXT, frameon=False)


def _marker(y: npt.ArrayLike) -> str:
    """Points are marked while they are few: a single one makes no line."""
    return "o" if np.size(y) <= 30 else ""
