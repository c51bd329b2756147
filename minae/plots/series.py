"""Time series as curves, with what a model makes of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minae.backends.spec import Array
from minae.plots.figure import COLOURS, TEXT, TICK, TITLE, open_figure


def series_errors(
    path: Path,
    names: Sequence[str],
    series: Array,
    reconstructions: Array,
    errors: Array,
    *,
    marks: Array | None = None,
    title: str = "",
) -> None:
    """One panel a series: the series, its reconstruction, and below the error of each step.

    series, reconstructions, errors: (M, T);  names: of the M panels;  marks: bool (M, T), shaded
    where an anomaly is known to be. The errors of each panel reach up to one height.
    """
    rows = -(-len(names) // 2)
    with open_figure(path, 9.4, 2.1 * rows) as figure:
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for panel in panels[len(names) :]:
            panel.axis("off")
        low, high = series.min(), series.max()
        room = 0.55 * (high - low)  # below the series, for the errors
        for m, (panel, name) in enumerate(zip(panels, names, strict=False)):
            steps = np.arange(series.shape[1])
            if marks is not None:
                panel.fill_between(
                    steps,
                    low - room,
                    high,
                    where=marks[m],
                    color="#f3d6d6",
                    linewidth=0,
                    step="mid",
                )
            panel.plot(steps, series[m], color="#222222", linewidth=1.3, label="series")
            panel.plot(
                steps, reconstructions[m], color=COLOURS[0], linewidth=1.1, label="reconstruction"
            )
            panel.fill_between(
                steps,
                low - room,
                low - room + 0.9 * room * errors[m] / max(errors[m].max(), 1e-12),
                color=COLOURS[1],
                linewidth=0,
                label="squared error (own scale)",
            )
            panel.set_ylim(low - 1.02 * room, high + 0.05 * (high - low))
            panel.set_title(name, fontsize=TEXT)
            panel.tick_params(labelsize=TICK, length=0)
        figure.suptitle(title, fontsize=TITLE)
        figure.tight_layout()
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            fontsize=TEXT,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            ncols=3,
        )


def curves(
    path: Path,
    rows: Sequence[Array],
    names: Sequence[str],
    *,
    title: str = "",
    over_each_other: bool = False,
) -> None:
    """Rows of series, (columns, T) each, with their names at the left, all to one scale.

    over_each_other: the series of a column are drawn in one panel, and the names in a legend.
    """
    columns = max(len(row) for row in rows)
    low, high = (float(f([f(row) for row in rows])) for f in (np.min, np.max))
    room = 0.05 * max(high - low, 1e-6)
    across = min(columns, 4) if over_each_other else columns
    down = -(-columns // across) if over_each_other else len(rows)
    width, height = (2.6, 1.5) if over_each_other else (min(1.1, 12 / columns), 0.8)
    with open_figure(path, width * across, height * down) as figure:
        panels = figure.subplots(down, across, squeeze=False)
        for panel in panels.ravel():
            panel.axis("off")
        for i, row in enumerate(rows):
            for j, series in enumerate(row):
                panel = panels.ravel()[j] if over_each_other else panels[i, j]
                panel.axis("on")
                bold = over_each_other and i == 0
                panel.plot(
                    series,
                    color="#222222" if bold or not over_each_other else COLOURS[i - 1],
                    linewidth=1.3 if bold else 1.0,
                    label=names[i] if names else None,
                )
                panel.set_ylim(low - room, high + room)
                panel.set_xticks([])
                panel.tick_params(labelsize=TICK, length=0)
                if j % across:
                    panel.set_yticks([])
            if names and not over_each_other:
                panels[i, 0].set_ylabel(
                    names[i], fontsize=TEXT, rotation=0, ha="right", va="center"
                )
        figure.tight_layout(pad=0.4)
        figure.suptitle(title, fontsize=TITLE, y=1.0, va="bottom")
        if names and over_each_other:
            figure.legend(
                *panels[0, 0].get_legend_handles_labels(),
                fontsize=TEXT,
                frameon=False,
                loc="upper center",
                bbox_to_anchor=(0.5, 0),
                ncols=len(names),
            )
