"""Tables in text files (CSV): a line for each record, columns of numbers or of words."""

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minae.backends.spec import Array
from minae.datasets.text import read_lines, shown, wrong
from minae.errors import MinaeError

MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
NUMERIC = 0.9  # share of numbers from which on a column is meant to hold numbers only


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by name: float64 (M,) where numeric, an array of str (M,) where categorical."""

    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, indices: Array) -> "Table":
        """The records of these indices."""
        return Table({name: column[indices] for name, column in self.columns.items()})

    def without(self, *names: str) -> "Table":
        """The table less some of its columns."""
        return Table({n: column for n, column in self.columns.items() if n not in names})


def read_table(
    path: Path, names: tuple[str, ...] | None = None, *, words: Collection[str] = ()
) -> Table:
    """The table of a file whose fields are separated by tab, semicolon or comma, whichever the
    first line has, quoted or not.

    The first line is a header if none of its fields is a number; without one the columns are named
    column 1, column 2, ..., or `names`. A column is numeric if all its fields are numbers, and
    categorical if fewer than nine in ten are, or if `words` names it.

    Raises MinaeError, with file and line, for a line of more or fewer fields than the first, for a
    missing field (empty, ?, NA, NaN), for an infinite number, for a word in a column of numbers,
    and for two columns of one name; and if there is no record.
    """
    lines, separator = [*read_lines(path)], None
    separator = next((s for s in "\t;," if s in lines[0][1]), ",")
    records = [
        (line, [field.strip() for field in next(csv.reader([text], delimiter=separator))])
        for line, text in lines
    ]
    width = len(records[0][1])
    for line, fields in records:
        if len(fields) != width:
            raise wrong(path, line, f"{len(fields)} field(s)", f"{width} as in the first line")
    if not any(_is_number(field) for field in records[0][1]):
        names = tuple(records.pop(0)[1])
    if not records:
        raise MinaeError(f"{path} has a header and no record, 1 or more wanted")
    names = names or tuple(f"column {i}" for i in range(1, width + 1))
    if len(names) != width:
        raise wrong(path, records[0][0], f"{width} fields", f"{len(names)}: {', '.join(names)}")
    for name in names:
        if names.count(name) > 1:
            raise wrong(path, lines[0][0], f"column {shown(name)} twice", "one name a column")
    numbers = [line for line, _ in records]
    columns = zip(*(fields for _, fields in records), strict=True)
    return Table(
        {
            name: _column(path, name, numbers, fields, NUMERIC if name not in words else 2.0)
            for name, fields in zip(names, columns, strict=True)
        }
    )


def _column(
    path: Path, name: str, lines: list[int], fields: tuple[str, ...], least: float
) -> Array:
    """One column: float64, or str where fewer than this share of it are numbers."""
    for line, field in zip(lines, fields, strict=True):
        if field.lower() in MISSING:
            raise wrong(
                path, line, f"{shown(field)} in column {shown(name)}", "a value (none is missing)"
            )
    numeric = [_is_number(field) for field in fields]
    share = sum(numeric) / len(numeric)
    if share < least:
        return np.array(fields)
    if share < 1:
        first = numeric.index(False)
        raise wrong(
            path,
            lines[first],
            f"{shown(fields[first])} in column {shown(name)}",
            f"a number, as {share:.1%} of this column are",
        )
    values = np.array(fields, np.float64)
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise wrong(
            path,
            lines[first],
            f"{shown(fields[first])} in column {shown(name)}",
            "a finite number",
        )
    return values


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
