"""Records as rows of numbers: numeric columns standardized, each categorical one as 0s and a 1."""

from dataclasses import dataclass

import numpy as np

from minae.backends.spec import Array
from minae.datasets.dataset import listed
from minae.datasets.table import Table
from minae.errors import MinaeError

OTHER = "other"  # the word of a category that the training part does not have
LIMIT = 10.0  # standard deviations that a number may lie from the mean; more says no more
SKEWED = 20.0  # largest value of a column of numbers >= 0 from which on its logarithm is taken


@dataclass(frozen=True)
class Encoding:
    """How the columns of a table become the D numbers of a row, fitted to training records.

    First the numeric columns in their order: x, or log(1 + x) where `logarithmic`, less the mean,
    divided by the standard deviation, held within ±10. Then for each categorical column a group of
    one-hot numbers: one for each word met in training, in alphabetical order, and a last one for
    any other word. In training that one is never 1, so to a model a record with a new word is as
    strange as a word can make it. All fields are plain values: a model is saved with its encoding.
    """

    numeric: tuple[str, ...]
    logarithmic: tuple[bool, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    categorical: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, table: Table) -> "Encoding":
        """The encoding of these records. A column that never changes gets the deviation 1."""
        numeric = [n for n, column in table.columns.items() if column.dtype.kind == "f"]
        categorical = [n for n in table.columns if n not in numeric]
        skewed = [
            bool(table.columns[n].min() >= 0 and table.columns[n].max() > SKEWED) for n in numeric
        ]
        scaled = [
            np.log1p(table.columns[n]) if log else table.columns[n]
            for n, log in zip(numeric, skewed, strict=True)
        ]
        return cls(
            numeric=tuple(numeric),
            logarithmic=tuple(skewed),
            mean=tuple(float(x.mean()) for x in scaled),
            std=tuple(float(x.std()) if x.std() > 1e-6 else 1.0 for x in scaled),
            categorical=tuple(categorical),
            words=tuple(tuple(np.unique(table.columns[n]).tolist()) for n in categorical),
        )

    @property
    def groups(self) -> tuple[int, ...]:
        """Numbers in each categorical group: its words and one for others."""
        return tuple(len(words) + 1 for words in self.words)

    @property
    def features(self) -> dict[str, slice]:
        """Where each column of the table stands in a row."""
        places = {name: slice(i, i + 1) for i, name in enumerate(self.numeric)}
        start = len(self.numeric)
        for name, size in zip(self.categorical, self.groups, strict=True):
            places[name] = slice(start, start + size)
            start += size
        return places

    @property
    def size(self) -> int:
        """D, the numbers in a row."""
        return len(self.numeric) + sum(self.groups)

    def encode(self, table: Table) -> Array:
        """Records as float32 (M, D). Raises MinaeError if a column is missing or of another kind.

        log(1 + x) of an x below 0 is taken as that of 0.
        """
        rows = np.zeros((len(table), self.size), np.float32)
        for i, name in enumerate(self.numeric):
            x = self._column(table, name, numeric=True)
            x = np.log1p(np.maximum(x, 0)) if self.logarithmic[i] else x
            rows[:, i] = np.clip((x - self.mean[i]) / self.std[i], -LIMIT, LIMIT)
        features = self.features
        for name, words in zip(self.categorical, self.words, strict=True):
            column = self._column(table, name, numeric=False)
            place = np.searchsorted(words, column)  # (M,), of the word if it is one
            known = np.asarray(words)[np.minimum(place, len(words) - 1)] == column
            group = np.where(known, place, len(words))
            rows[np.arange(len(table)), features[name].start + group] = 1
        return rows

    def unknown(self, table: Table) -> dict[str, list[str]]:
        """By categorical column the words of these records that training did not meet."""
        found = {
            name: sorted(set(self._column(table, name, numeric=False).tolist()) - {*words})
            for name, words in zip(self.categorical, self.words, strict=True)
        }
        return {name: new for name, new in found.items() if new}

    def decode(self, rows: Array) -> Table:
        """Records of rows (M, D): numbers in their own units, and the likeliest word of a group."""
        columns: dict[str, Array] = {}
        for i, name in enumerate(self.numeric):
            x = rows[:, i].astype(np.float64) * self.std[i] + self.mean[i]
            x[np.abs(x) < 1e-6 * (self.std[i] + abs(self.mean[i]))] = 0  # a 0 that was rounded
            columns[name] = np.maximum(np.expm1(x), 0) if self.logarithmic[i] else x
        features = self.features
        for name, words in zip(self.categorical, self.words, strict=True):
            columns[name] = np.array([*words, OTHER])[rows[:, features[name]].argmax(axis=1)]
        return Table(columns)

    def _column(self, table: Table, name: str, *, numeric: bool) -> Array:
        kinds = {True: "numbers", False: "words"}
        if name not in table.columns:
            raise MinaeError(
                f"the records have no column {name!r}; their columns are {listed([*table.columns])}"
            )
        column = table.columns[name]
        if (column.dtype.kind == "f") != numeric:
            if not numeric:  # words that all happen to be numbers
                return np.array([f"{x:g}" for x in column])
            raise MinaeError(f"column {name!r} holds {kinds[not numeric]}, {kinds[numeric]} wanted")
        return column
