"""Piano rolls, with a line at every beat."""

from collections.abc import Sequence
from pathlib import Path

from minae.backends.spec import Array, Pair
from minae.plots.figure import TEXT, TITLE, open_figure


def piano_rolls(
    path: Path,
    rolls: Array,
    roll_shape: Pair,
    columns: int,
    *,
    title: str = "",
    row_labels: Sequence[str] = (),
) -> None:
    """Rolls (M, pitches·steps) of P(note), `columns` in a row, each with lines at every beat;
    row_labels stand left of the rows."""
    pitches, steps = roll_shape
    rows = -(-len(rolls) // columns)
    width = min(2.4, 14 / columns)
    with open_figure(path, width * columns, 0.65 * width * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels[len(rolls) :]:
            panel.axis("off")
        for panel, roll in zip(panels, rolls, strict=False):
            extent = (0, steps, 0, pitches)
            picture = roll.reshape(pitches, steps)
            panel.imshow(
                picture,
                cmap="gray_r",
                vmin=0,
                vmax=1,
                extent=extent,
                aspect="auto",
                interpolation="nearest",
            )
            panel.set_xticks(range(0, steps + 1, 4), [])
            panel.set_yticks([0, pitches / 2, pitches], [])
            panel.grid(color="#9fb8d6", linewidth=0.5)
            panel.tick_params(length=0)
        for panel, name in zip(panels[::columns], row_labels, strict=False):
            panel.set_ylabel(name, fontsize=TEXT, rotation=0, ha="right", va="center")
        figure.tight_layout(pad=0.4)
        figure.suptitle(title, fontsize=TITLE, y=1.0, va="bottom")
