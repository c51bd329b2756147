"""Pictures of a training run and of its model: each function turns arrays into one PNG file.

Images are rows of grey values in [0, 1], drawn as ink on paper: 0 is white, 1 is black. A function
overwrites `path` only once the whole picture is written, and leaves nothing else in its folder.
Matplotlib is imported when the first picture is drawn; its global (pyplot) state is not touched.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array, Pair
from minae.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
TITLE, TEXT, TICK = 11, 9, 7  # font sizes in points
GAP = 2  # pixels of paper between two images of a grid
GRID_WIDTH, IMAGE_WIDTH = 1200, 112  # dots that a grid and an image of it may take, if they can
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd"]
COLOURS += ["#17becf", "#8c564b", "#e377c2", "#bcbd22", "#444444"]


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

    with _figure(path, 6.0, 3.4) as figure:
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
        _annotate(axes, title, x_label, y_label)
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
    with _figure(path, 5.0, 3.4) as figure:
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
        _annotate(axes, title, x_label, y_label)
        axes.legend(fontsize=TEXT, frameon=False)


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
    with _figure(path, 9.4, 4.3) as figure:
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
            _annotate(axes, heading, "", "")
        figure.suptitle(title, fontsize=TITLE, y=0.98)


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
        _annotate(axes, title, "", "")


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
    with _figure(path, 5.6, 5.0) as figure:
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
        _annotate(axes, title, *axis_labels)
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
        _annotate(axes, title, *axis_labels)
        axes.set_xticks((np.arange(len(columns)) + 0.5) * W, [_two_decimals(z) for z in columns])
        axes.set_yticks((np.arange(len(rows)) + 0.5) * H, [_two_decimals(z) for z in rows])
        axes.tick_params(labelsize=TICK)


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
    with _figure(path, 9.4, 2.1 * rows) as figure:
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
    with _figure(path, width * across, height * down) as figure:
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


def sizes(path: Path, found: Mapping[str, int], *, title: str = "") -> None:
    """Sizes in bytes by name, the first at the top: a bar, the number, and how many times smaller
    than the largest it is."""
    largest = max(found.values())
    with _figure(path, 6.0, 0.35 * len(found) + 0.5) as figure:
        axes = figure.add_subplot()
        bars = axes.barh(list(found), list(found.values()), color=COLOURS[1])
        bars[0].set_color(COLOURS[0])
        labels = [f"{size:,}  ({largest / size:.2f}×)" for size in found.values()]
        axes.bar_label(bars, labels, padding=4, fontsize=TEXT)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.3 * largest)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        _annotate(axes, title, "bytes (times smaller)", "")


def score_histogram(
    path: Path, scores: Array, strange: Array, thresholds: Mapping[str, float], *, title: str = ""
) -> None:
    """Scores (M,) of normal samples and of the others, `strange` bool (M,), on a logarithmic axis;
    thresholds: name -> value of a vertical line."""
    with _figure(path, 6.0, 3.4) as figure:
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
        _annotate(axes, title, "score", "density of its logarithm")
        axes.legend(
            fontsize=TEXT,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            ncols=4,
            columnspacing=1.2,
        )


def bars(path: Path, panels: Mapping[str, Mapping[str, float]], x_label: str, title: str) -> None:
    """One panel of horizontal bars for each name: label -> value, the first at the top."""
    rows = -(-len(panels) // 2)
    with _figure(path, 9.4, 1.7 * rows) as figure:
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
    with _figure(path, 0.075 * picture.shape[1], 0.075 * picture.shape[0]) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        paint = ListedColormap([*colours, "#ffffff"])
        axes.imshow(picture, cmap=paint, vmin=0, vmax=len(kinds), interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks((np.arange(len(row_labels)) + 0.5) * (H + 1) - 1, row_labels)
        axes.spines[:].set_visible(False)
        _annotate(axes, title, "", "")
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
    with _figure(path, width * columns, 0.65 * width * rows) as figure:
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


def _marker(y: npt.ArrayLike) -> str:
    """Points are marked while they are few: a single one makes no line."""
    return "o" if np.size(y) <= 30 else ""


def _two_decimals(z: float) -> str:
    return f"{round(z, 2) + 0.0:g}"  # + 0.0 turns -0 into 0


def _annotate(axes: "Axes", title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, fontsize=TITLE)
    axes.set_xlabel(x_label, fontsize=TEXT)
    axes.set_ylabel(y_label, fontsize=TEXT)
    axes.tick_params(labelsize=TEXT, length=0)
    axes.set_axisbelow(True)


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
    with _figure(path, width * dots / DPI, height * dots / DPI) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        extent = (0, width, height, 0)
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", extent=extent)
        yield axes


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure whose axes take about width × height inches; written to `path` when it is left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    yield figure
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
