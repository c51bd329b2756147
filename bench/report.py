"""Rows of figures: how a contest becomes rows, and how rows are printed."""

from typing import Any

from bench.contest import FLOOR
from bench.models import BACKENDS, Entry
from bench.timing import Timing

Row = dict[str, Any]

COLUMNS = (  # heading, width, key or function of a row, format
    ("model", 18, lambda row: f"{row['system']} {row['model']}", "<18"),
    ("batch", 5, "batch_size", "5d"),
    ("backend", 7, "backend", "<7"),
    ("ms", 8, "ms", "8.3f"),
    ("best rival", 13, "rival", "<13"),
    ("its ms", 8, "rival_ms", "8.3f"),
    ("ratio", 6, "ratio", "6.2f"),
    ("of rounds", 11, lambda row: "{:.2f}-{:.2f}".format(*row["ratio_range"]), "<11"),
    ("goal", 5, "goal", "5.4g"),
    ("floor ms", 8, "gemm_floor_ms", "8.3f"),
    ("× floor", 7, "floor_multiple", "7.2f"),
)
PROBED = (
    ("MB", 6, "peak_mb", "6.0f"),
    ("its MB", 6, "rival_peak_mb", "6.0f"),
    ("lean", 6, "rival_lean_peak_mb", "6.0f"),
    ("cold s", 6, "first_step_cold_s", "6.2f"),
    ("cached", 6, "first_step_cached_s", "6.2f"),
    ("its s", 6, "rival_first_step_s", "6.2f"),
)


def rows_of(entry: Entry, batch_size: int, threads: int, timing: Timing) -> list[Row]:
    """A row for each backend and rival, the best rival's first.

    ms: median of the turns' medians; ratio_range: least and greatest ratio within one round.
    """
    turns = timing.turns
    ms = {name: timing.ms(name) for name in turns}
    rivals = sorted((name for name in ms if name not in (*BACKENDS, FLOOR)), key=ms.__getitem__)
    rows = []
    for backend in BACKENDS:
        for rival in rivals:
            by_round = [t / o for t, o in zip(turns[rival], turns[backend], strict=True)]
            rows.append(
                {
                    "model": entry.label,
                    "system": entry.system,
                    "batch_size": batch_size,
                    "threads": threads,
                    "backend": backend,
                    "rival": rival,
                    "best_rival": rival == rivals[0],
                    "ms": ms[backend],
                    "rival_ms": ms[rival],
                    "ratio": ms[rival] / ms[backend],
                    "ratio_range": [min(by_round), max(by_round)],
                    "goal": entry.goal if batch_size == 256 else 1.0,
                    "gemm_floor_ms": ms[FLOOR],
                    "floor_multiple": ms[backend] / ms[FLOOR],
                    "peak_mb": None,
                    "disturbed_turns": timing.disturbed,
                }
            )
    return rows


def header(*, probed: bool) -> str:
    """The head of a table in Markdown."""
    columns = COLUMNS + (PROBED if probed else ())
    names = " | ".join(f"{heading:<{width}}" for heading, width, _, _ in columns)
    return f"| {names} |\n|{'|'.join('-' * (width + 2) for _, width, _, _ in columns)}|"


def line(row: Row, *, probed: bool) -> str:
    """One row of that table."""
    cells = []
    for _, width, key, form in COLUMNS + (PROBED if probed else ()):
        value = key(row) if callable(key) else row.get(key)
        cells.append(" " * (width - 1) + "-" if value is None else f"{value:{form}}")
    return f"| {' | '.join(cells)} |"


def slow_downs(idle: Timing, loaded: Timing) -> dict[str, float]:
    """How many times longer a step takes beside other work, by contender."""
    return {name: loaded.ms(name) / idle.ms(name) for name in idle.turns}


def summary(rows: list[Row]) -> str:
    """Which goals numba reaches, in words; they are set against the best of PyTorch's modes."""
    least: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row["backend"] == "numba" and row["rival"] != "jax":
            key = (row["model"], row["batch_size"])
            least[key] = min(row, least.get(key, row), key=lambda row: row["ratio"])
    missed = [
        f"{model} at {batch_size} ({row['ratio']:.2f} of {row['goal']:g})"
        for (model, batch_size), row in least.items()
        if row["ratio"] < row["goal"]
    ]
    return f"goals reached by numba: {len(least) - len(missed)} of {len(least)}" + (
        f"; missed: {', '.join(missed)}" if missed else ""
    )
