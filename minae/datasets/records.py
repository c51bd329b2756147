"""Connection records and other tables in which some records are anomalies.

NSL-KDD and KDD'99 files have no header: 41 features, the name of the attack or "normal", and in
NSL-KDD how many of 21 classifiers got the record right (its difficulty, which is left out). They
are known by their 42 or 43 fields with words in the second to fourth. Any other table has a column
named label, class, attack, target, anomaly or outcome, or its last column is the label.
Sources: Tavallaee et al. 2009, "A detailed analysis of the KDD CUP 99 data set"; the feature names
are those of kddcup.names.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minae.backends.spec import Array
from minae.datasets.connections import ATTACKS, generate_connections
from minae.datasets.dataset import AnomalySet, Rows, listed, numbered
from minae.datasets.encoding import OTHER, Encoding
from minae.datasets.split import split_normal
from minae.datasets.table import Table, read_table
from minae.datasets.text import read_lines
from minae.errors import MinaeError

KDD = (
    *("duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land"),
    *("wrong_fragment", "urgent", "hot", "num_failed_logins", "logged_in", "num_compromised"),
    *("root_shell", "su_attempted", "num_root", "num_file_creations", "num_shells"),
    *("num_access_files", "num_outbound_cmds", "is_host_login", "is_guest_login", "count"),
    *("srv_count", "serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate"),
    *("same_srv_rate", "diff_srv_rate", "srv_diff_host_rate", "dst_host_count"),
    *("dst_host_srv_count", "dst_host_same_srv_rate", "dst_host_diff_srv_rate"),
    *("dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate"),
    *("dst_host_srv_serror_rate", "dst_host_rerror_rate", "dst_host_srv_rerror_rate"),
)
LABELS = ("label", "class", "attack", "target", "anomaly", "outcome")
NORMAL = ("normal", "benign", "0", "no")


@dataclass(frozen=True, eq=False)
class RecordSet(AnomalySet):
    """Records encoded as rows, and the encoding, fitted to the training part."""

    sample: ClassVar[str] = "record"
    samples: ClassVar[str] = "records"
    number: ClassVar[str] = "value"
    place: ClassVar[str] = "feature"

    encoding: Encoding

    @property
    def dimensions(self) -> dict[str, Any]:
        return {"encoding": self.encoding}

    @classmethod
    def load(cls, path: Path | None = None) -> "RecordSet":
        return load_records(path)

    @classmethod
    def read(cls, path: Path, split: str, model: Any, class_names: Sequence[str]) -> Rows:
        """As `Dataset.read`: numbers are standardized and words numbered by the model's encoding.

        A word that training did not meet is the `other` of its column, and a remark names it. What
        is no feature of the model is left out, but for the label: a column named so, or the last.
        """
        encoding: Encoding = model.encoding
        table = read_table(path, kdd_names(path), words=encoding.categorical)
        rows = encoding.encode(table)
        remarks = [
            f"words that the run has not met in {name}, taken as {OTHER!r}: {listed(words)}"
            for name, words in encoding.unknown(table).items()
        ]
        names = [*table.columns]
        others = [name for name in names if name not in encoding.features]
        named = [name for name in others if name.lower() in LABELS] or [
            name for name in others if name == names[-1]
        ]
        if not named:
            return Rows(rows, None, tuple(remarks))
        labels, more = numbered(label_texts(table.columns[named[-1]]), class_names)
        return Rows(rows, labels, (*remarks, *more))

    @classmethod
    def parts(cls, model: Any) -> dict[str, slice]:
        return dict(model.encoding.features)

    @classmethod
    def compare(cls, model: Any, x: Array, y: Array) -> str:
        encoding: Encoding = model.encoding
        n = len(encoding.numeric)
        found = []
        if n:
            error = np.square(y[:, :n] - x[:, :n]).mean()
            found.append(f"squared error {error:.4f} a number, in squared standard deviations")
        words = [encoding.features[name] for name in encoding.categorical]
        if words:
            right = [(y[:, w].argmax(axis=1) == x[:, w].argmax(axis=1)).mean() for w in words]
            found.append(f"{np.mean(right):.1%} of the words right")
        return "; ".join(found)


def read_records(path: Path) -> tuple[Table, list[str]]:
    """The features of a table, NSL-KDD, KDD'99 or other, and the M labels as text.

    Raises MinaeError for what `read_table` refuses, and if there is no column beside the label.
    """
    others: tuple[str, ...]
    kdd = kdd_names(path)
    if kdd and len(kdd) > len(KDD):
        table = read_table(path, kdd)
        label, others = "attack", ("difficulty",)
    else:
        table = read_table(path)
        named = [name for name in table.columns if name.lower() in LABELS]
        label = named[-1] if named else [*table.columns][-1]
        others = ()
    features = table.without(label, *others)
    if not features.columns:
        raise MinaeError(f"{path} has the one column {label!r}, a label and others wanted")
    return features, label_texts(table.columns[label])


def label_texts(labels: Array) -> list[str]:
    """A column of labels as text: 1 for 1.0, and normal for the normal. of KDD'99."""
    texts = [str(t) for t in labels] if labels.dtype.kind != "f" else [f"{x:g}" for x in labels]
    return [text.removesuffix(".") for text in texts]


def load_records(path: Path | None = None, normal: str | None = None) -> RecordSet:
    """The records of a file, split for anomaly detection; without one connections made here.

    `normal` is the label of normal records; if not given it is one of normal, benign, 0, no, or
    the most frequent. The split is that of `load_series`.

    Raises MinaeError for what `read_records` refuses, for an unknown label, or if there are fewer
    than ten normal records or no other.
    """
    if path is None:
        table, labels = generate_connections()
        names = ["normal", *ATTACKS]
        name = "connections made by minae"
    else:
        table, texts = read_records(path)
        counts = Counter(texts)
        if normal is None:
            usual = [text for text in counts if text.lower() in NORMAL]
            normal = usual[0] if usual else counts.most_common(1)[0][0]
        elif normal not in counts:
            known = ", ".join(sorted(counts))
            raise MinaeError(f"{path} has no label {normal!r}; its labels are {known}")
        names = [normal, *sorted(set(texts) - {normal})]
        numbers = {text: i for i, text in enumerate(names)}
        labels = np.array([numbers[text] for text in texts])
        name = path.name.split(".")[0]
    train, held_out, test = split_normal(labels, name)
    encoding = Encoding.fit(table.rows(train))

    def encoded(indices: Array) -> Array:
        return encoding.encode(table.rows(indices))

    return RecordSet(
        name=name,
        train_images=encoded(train),
        train_labels=labels[train],
        test_images=encoded(test),
        test_labels=labels[test],
        held_out_images=encoded(held_out),
        class_names=tuple(names),
        encoding=encoding,
    )


def kdd_names(path: Path) -> tuple[str, ...] | None:
    """The columns of KDD'99 (42) or NSL-KDD (43), or of either without labels (41), if the first
    line of the file is a record of them."""
    fields = next(read_lines(path))[1].split(",")
    words = [not field.replace(".", "", 1).isdigit() for field in fields]
    if len(fields) in (41, 42, 43) and words[1:4] == [True] * 3 and not words[0]:
        return (*KDD, "attack", "difficulty")[: len(fields)]
    return None
