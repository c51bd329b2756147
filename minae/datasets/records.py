"""Connection records and other tables in which some records are anomalies.

NSL-KDD and KDD'99 files have no header: 41 features, the name of the attack or "normal", and in
NSL-KDD how many of 21 classifiers got the record right (its difficulty, which is left out). They
are known by their 42 or 43 fields with words in the second to fourth. Any other table has a column
named label, class, attack, target, anomaly or outcome, or its last column is the label.
Sources: Tavallaee et al. 2009, "A detailed analysis of the KDD CUP 99 data set"; the feature names
are those of kddcup.names.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minae.backends.spec import Array
from minae.datasets.connections import ATTACKS, generate_connections
from minae.datasets.dataset import AnomalySet
from minae.datasets.encoding import Encoding
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

    encoding: Encoding

    @property
    def dimensions(self) -> dict[str, Any]:
        return {"encoding": self.encoding}


def read_records(path: Path) -> tuple[Table, list[str]]:
    """The features of a table, NSL-KDD, KDD'99 or other, and the M labels as text.

    Raises MinaeError for what `read_table` refuses, and if there is no column beside the label.
    """
    others: tuple[str, ...]
    if _is_kdd(path):
        fields = next(read_lines(path))[1].count(",") + 1
        table = read_table(path, (*KDD, "attack", "difficulty")[:fields])
        label, others = "attack", ("difficulty",)
    else:
        table = read_table(path)
        named = [name for name in table.columns if name.lower() in LABELS]
        label = named[-1] if named else [*table.columns][-1]
        others = ()
    labels = table.columns[label]
    texts = [str(t) for t in labels] if labels.dtype.kind != "f" else [f"{x:g}" for x in labels]
    features = table.without(label, *others)
    if not features.columns:
        raise MinaeError(f"{path} has the one column {label!r}, a label and others wanted")
    return features, [text.removesuffix(".") for text in texts]


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


def _is_kdd(path: Path) -> bool:
    """Whether the first line is a record of KDD'99 (42 fields) or NSL-KDD (43)."""
    fields = next(read_lines(path))[1].split(",")
    words = [not field.replace(".", "", 1).isdigit() for field in fields]
    return len(fields) in (42, 43) and words[1:4] == [True] * 3 and not words[0]
