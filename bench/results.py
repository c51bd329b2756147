"""What a reproduction measures, how it is judged, and the page that shows it.

A published figure is kept as the text that was printed, with its source; ours are only ever
computed. Results are kept as JSON, one entry for each experiment and backend, and the page is
rendered from them, so that a part can be run again without losing the rest.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

NEAR = 0.05  # relative distance that still counts as the same, where less is no better than more
COLUMNS = ("figure", "source", "printed", "ours", "verdict", "seeds", "s a seed", "backend")

Entry = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure that somebody printed: one number, or a range "low–high".

    key: under which an experiment returns ours; better: "lower", "higher", or "same" where it is a
    fact of the data or of the initial weights.
    """

    key: str
    what: str
    printed: str
    source: str
    better: str = "lower"

    @property
    def limits(self) -> tuple[float, float]:
        low, _, high = self.printed.partition("–")
        return float(low), float(high or low)

    @property
    def decimals(self) -> int:
        return len(self.printed.partition("–")[0].partition(".")[2]) or 1

    def gap(self, ours: float) -> float:
        """How far ours falls short, as a share of what was printed (of 1 where that is
        0); 0 where it is reached."""
        low, high = self.limits
        above = max((ours - high) / (abs(high) or 1), 0.0)
        below = max((low - ours) / (abs(low) or 1), 0.0)
        if self.better == "lower":
            return above
        if self.better == "higher":
            return below
        return max(above, below) if max(above, below) > NEAR else 0.0


@dataclass(frozen=True)
class Experiment:
    """One computation and the figures that come out of it.

    compute: a function of a Setting that returns ours by key; seeds: it is run once with each;
    cause: what is likely to blame for a figure that falls short in a full pass.
    """

    name: str
    how: str
    compute: Any
    figures: tuple[Figure, ...]
    seeds: tuple[int, ...] = (0,)
    cause: str = "not known"


def load(path: Path) -> list[Entry]:
    """The results of earlier runs; none where there is no such file."""
    if not path.exists():
        return []
    entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def save(path: Path, entries: Sequence[Entry]) -> None:
    write_whole(path, json.dumps(entries, indent=1, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def merged(entries: Sequence[Entry], new: Entry) -> list[Entry]:
    """The entries with this one in the place of an earlier one of the same experiment and backend.

    A quick pass does not replace a full one.
    """

    def same(entry: Entry) -> bool:
        return all(entry[key] == new[key] for key in ("name", "backend"))

    if new["quick"] and any(same(entry) and not entry["quick"] for entry in entries):
        return [*entries]
    return [*(entry for entry in entries if not same(entry)), new]


def page(experiments: Sequence[Experiment], entries: Sequence[Entry], command: str) -> str:
    """RESULTS.md: a table of every figure, how each was computed, and what falls short."""
    threads = ", ".join(str(count) for count in sorted({entry["threads"] for entry in entries}))
    lines = [
        "# Figures printed elsewhere, and ours",
        "",
        f"Written by `{command}`; none of our numbers is typed by hand. Ours is the mean",
        "over the seeds, ± the standard deviation where there are three or more. The verdict",
        "compares it with the printed figure, or with the worse end of a printed range; where a",
        "figure is a fact of the data or of the initial weights, "
        f"{NEAR:.0%} off still counts as the same. Seconds are those of",
        f"the clock, threads: {threads}; other work may have gone on beside.",
        "",
        *_table(experiments, entries),
        "",
        "## How ours are computed",
        "",
        *(f"- **{experiment.name}**: {experiment.how}." for experiment in experiments),
        "",
        "## What falls short",
        "",
        *(_shortfalls(experiments, entries) or ["Nothing of what was run."]),
    ]
    missing = [e.name for e in experiments if not any(r["name"] == e.name for r in entries)]
    if missing:
        lines += ["", f"Not run yet: {', '.join(missing)}."]
    devices = sorted({f"{r['backend']} on {r['device']}" for r in entries})
    if devices:
        found = sorted({f"{k} {v}" for r in entries for k, v in r["versions"].items()})
        lines += ["", f"Run with {', '.join(devices)}; {', '.join(found)}."]
    return "\n".join(lines) + "\n"


def _rows(
    experiments: Sequence[Experiment], entries: Sequence[Entry]
) -> Iterator[tuple[Experiment, Figure, Entry, list[float]]]:
    """Every figure that was measured, with our values, in the order of the table."""
    for experiment in experiments:
        for entry in entries:
            if entry["name"] != experiment.name:
                continue
            for figure in experiment.figures:
                values = entry["values"].get(figure.key)
                if values:
                    yield experiment, figure, entry, values


def _table(experiments: Sequence[Experiment], entries: Sequence[Entry]) -> list[str]:
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for experiment, figure, entry, values in _rows(experiments, entries):
        gap = figure.gap(mean(values))
        verdict = f"{gap:.1%} short" if gap else "reached"
        backend = entry["backend"] + (" (quick)" if entry["quick"] else "")
        cells = (
            experiment.name,
            figure.what,
            figure.source,
            figure.printed,
            ours(values, figure.decimals),
            verdict,
            ", ".join(map(str, entry["seeds"])),
            f"{entry['seconds']:.0f}",
            backend,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def ours(values: Sequence[float], decimals: int) -> str:
    """Mean, and the spread where there are values enough for one, to the decimals printed there."""
    spread = f" ± {stdev(values):.{decimals}f}" if len(values) > 2 else ""
    return f"{mean(values):.{decimals}f}{spread}"


def _shortfalls(experiments: Sequence[Experiment], entries: Sequence[Entry]) -> list[str]:
    """A line for each experiment with a figure that is short, with the likely cause."""
    found: dict[tuple[str, str], list[str]] = {}
    causes: Mapping[str, str] = {e.name: e.cause for e in experiments}
    for experiment, figure, entry, values in _rows(experiments, entries):
        if figure.gap(mean(values)):
            quick = "the quick pass, which cuts long trainings short"
            cause = quick if entry["quick"] else causes[experiment.name]
            text = f"{figure.what} ({ours(values, figure.decimals)}, printed {figure.printed})"
            found.setdefault((f"{experiment.name}, {entry['backend']}", cause), []).append(text)
    return [
        f"- **{name}**: {'; '.join(texts)}. Likely cause: {cause}."
        for (name, cause), texts in found.items()
    ]
