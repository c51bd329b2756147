"""Bars: amounts by name, and how scores are distributed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minae.backends.spec import Array
from minae.plots.figure import COLOURS, TEXT, TICK, TITLE, annotate, open_figure


def bars(path: Path, panels: Mapping[str, Mapping[str, float]], x_label: str, title: str) -> None:
    """One panel of horizontal bars for each name: label -> value, the first at the top."""
    rows = -(-len(panels) // 2)
    with open_figure(path, 9.4, 1.7 * rows) as figure:
        axes = figure.subplots(rows, 2, squeeze=False).ravel()
        for panel in axes[len(panels) :]:
            panel.axis("off")
        for panel, (name, values) in zip(axes, panels.items(), strict=False):
            panel.barh(list(values), list(values.values()), color=COLOURS[0])
            panel.invert_yaxis()
            panel.set_title(name, fontsize=TEXT)
            panel.set_xlabel(x_label, fontsize=TICK)
            panel.tick_params(labelsize=TICK, length=0)
        figure.suptitle(title, fontsize=TITLE)
        figure.tight_layout()


def sizes(path: Path, found: Mapping[str, int], *, title: str = "") -> None:
    """Sizes in bytes by name, the first at the top: a bar, the number, and how many times smaller
    than the largest it is."""
    largest = max(found.values())
    with open_figure(path, 6.0, 0.35 * len(found) + 0.5) as figure:
        axes = figure.add_subplot()
        bars = axes.barh(list(found), list(found.values()), color=COLOURS[1])
        bars[0].set_color(COLOURS[0])
        labels = [f"{size:,}  ({largest / size:.2f}×)" for size in found.values()]
        axes.bar_label(bars, labels, padding=4, fontsize=TEXT)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.3 * largest)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        annotate(axes, title, "bytes (times smaller)", "")


def score_histogram(
    path: Path, scores: Array, strange: Array, thresholds: Mapping[str, float], *, title: str = ""
) -> None:
    """Scores (M,) of normal samples and of the others, `strange` bool (M,), on a logarithmic axis;
    thresholds: name -> value of a vertical line."""
    with open_figure(path, 6.0, 3.4) as figure:
        axes = figure.add_subplot()
        logarithms = np.log10(np.maximum(scores, 1e-9))
        edges = np.histogram_bin_edges(logarithms, 50).tolist()
        for number, (name, among) in enumerate((("normal", ~strange), ("others", strange))):
            axes.hist(
                logarithms[among],
                edges,
                density=True,
                alpha=0.6,
                color=COLOURS[number],
                label=f"{name} ({int(among.sum()):,})",
            )
        for number, (name, value) in enumerate(thresholds.items()):
            style = ("--", ":")[number % 2]
            axes.axvline(np.log10(value), color="#444444", linestyle=style, linewidth=1, label=name)
        low, high = edges[0], edges[-1]
        digits = (1,) if high - low > 4 else (1, 2, 5) if high - low > 1 else (1, 1.5, 2, 3, 5, 7)
        ticks = [d * 10.0**e for e in range(-10, 11) for d in digits]
        ticks = [tick for tick in ticks if low <= np.log10(tick) <= high]
        axes.set_xticks(np.log10(ticks), [f"{tick:g}" for tick in ticks])
        annotate(axes, title, "score", "density of its logarithm")
        axes.legend(
            fontsize=TEXT,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=4,
            columnspacing=1.2,
        )
