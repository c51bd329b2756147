"""Readers of series, records and arrays: what they read, and the sentence for what they refuse."""

import gzip

import numpy as np
import pytest

from minae.datasets import (
    load_images,
    load_records,
    load_series,
    read_records,
    read_series,
    read_table,
)
from minae.datasets.encoding import Encoding
from minae.datasets.records import KDD
from minae.datasets.split import split_normal
from minae.errors import MinaeError

VALUES = np.round(np.random.default_rng(0).normal(size=(15, 6)), 3).astype(np.float32)
LABELS = ["1"] * 12 + ["2", "2", "-1"]


def series_text(separator: str, label: str = "{}") -> str:
    return "".join(
        separator.join([label.format(name), *(f"{x:.3f}" for x in row)]) + "\n"
        for name, row in zip(LABELS, VALUES, strict=True)
    )


def sentence(call, *arguments, **keywords) -> str:
    """The message of the MinaeError that the call raises: one line."""
    with pytest.raises(MinaeError) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- series


@pytest.mark.parametrize("separator", ["\t", ",", ";", "  ", ", "])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("label", ["{}", "{}.0000000e+00"])
def test_series_in_every_spelling(separator, packed, label, tmp_path):
    path = tmp_path / "beats.txt"
    content = series_text(separator, label).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    values, labels = read_series(path)
    np.testing.assert_array_equal(values, VALUES)
    assert values.dtype == np.float32
    assert labels == LABELS


def test_series_are_split_for_anomaly_detection(tmp_path):
    path = tmp_path / "beats.tsv"
    path.write_text(series_text("\t") + "\n")
    data = load_series(path)
    assert data.name == "beats"
    assert data.class_names == ("1", "-1", "2")
    assert [len(x) for x in (data.train_images, data.held_out_images, data.test_images)] == [
        7,
        1,
        7,
    ]
    assert sorted(data.test_labels.tolist()) == [0, 0, 0, 0, 1, 2, 2]
    assert not data.train_labels.any()
    parts = [data.train_images, data.held_out_images, data.test_images]
    np.testing.assert_array_equal(
        np.unique(np.concatenate(parts), axis=0), np.unique(VALUES, axis=0)
    )
    assert data.dimensions == {
        "length": 6,
        "mean": pytest.approx(data.train_images.mean(), abs=1e-6),
        "std": pytest.approx(data.train_images.std(), rel=1e-5),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"1 0.5 0.6\n1 0.5\n", "line 2: found 1 value(s), wanted a label and 2 values or more"),
        (
            b"1 0.5 0.6\n\n1 0.5 0.6 0.7\n",
            "line 3: found 3 values, wanted 2 as in the lines before",
        ),
        (b"1,0.5,0.6\n1,x,0.6\n", "line 2: found 'x' as value 1, wanted a finite number"),
        (b"1\t0.5\tnan\n", "line 1: found 'nan' as value 2, wanted a finite number"),
        (b"1\t0.5\tinf\n", "line 1: found 'inf' as value 2, wanted a finite number"),
        (b"1,0.5,\n", "line 1: found '' as value 2, wanted a finite number"),
        (b"1 0.5 0.6\n1 \xff 0.6\n", "line 2: the byte 0xff is no UTF-8"),
        (gzip.compress(b"1 2 3\n", mtime=0)[:-6], "is damaged, an intact gzip file wanted"),
    ],
)
def test_wrong_series_are_named(content, message, tmp_path):
    path = tmp_path / "series.csv"
    path.write_bytes(content)
    found = sentence(read_series, path)
    assert message in found
    assert str(path) in found


def test_series_that_cannot_be_split(tmp_path):
    assert "cannot be read" in sentence(load_series, tmp_path / "nowhere.txt")
    path = tmp_path / "series.txt"
    path.write_text(series_text(" "))
    assert "no label '7'; its labels are -1, 1, 2" in sentence(load_series, path, normal="7")
    assert "has 2 normal sample(s) and 13 other(s)" in sentence(load_series, path, normal="2")
    path.write_text("1 2 3\n" * 12)
    assert "has 12 normal sample(s) and 0 other(s)" in sentence(load_series, path)


def test_the_split_never_trains_on_an_anomaly_and_loses_nothing():
    labels = np.random.default_rng(1).integers(0, 3, 500)
    train, held_out, test = split_normal(labels, "labels")
    assert not labels[train].any()
    assert not labels[held_out].any()
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out, test])), np.arange(500))


# ---------------------------------------------------------------- tables and records


def test_a_table_with_a_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('name,size,kind\n"Smith, J",1.5,a\nB,2,b\n')
    table = read_table(path)
    assert list(table.columns) == ["name", "size", "kind"]
    assert table.columns["name"].tolist() == ["Smith, J", "B"]
    assert table.columns["size"].tolist() == [1.5, 2.0]
    assert len(table) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_without_a_header(separator, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(separator.join(["1", "a", "2"]) + "\n" + separator.join(["3", "b", "4"]))
    table = read_table(path)
    assert list(table.columns) == ["column 1", "column 2", "column 3"]
    assert table.columns["column 3"].tolist() == [2, 4]


TEN = "x,y\n" + "1,a\n" * 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "has a header and no record"),
        ("a,b\n1,2\n1\n", "line 3: found 1 field(s), wanted 2 as in the first line"),
        ("a,b\n1,2\n1,2,3\n", "line 3: found 3 field(s), wanted 2"),
        ("a,a\n1,2\n", "line 1: found column 'a' twice"),
        (TEN + "?,b\n", "line 12: found '?' in column 'x', wanted a value"),
        (TEN + "1,\n", "line 12: found '' in column 'y', wanted a value"),
        (TEN + "one,b\n", "line 12: found 'one' in column 'x', wanted a number, as 90.9%"),
        (TEN + "inf,b\n", "line 12: found 'inf' in column 'x', wanted a finite number"),
    ],
)
def test_wrong_tables_are_named(content, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(content)
    assert message in sentence(read_table, path)


def kdd_line(protocol="tcp", duration=0, count=2, attack="normal", difficulty=",20") -> str:
    features = ["0"] * 41
    features[:4] = [str(duration), protocol, "http", "SF"]
    features[KDD.index("count")] = str(count)
    return ",".join([*features, attack]) + difficulty


@pytest.mark.parametrize("difficulty", ["", ",20"])
def test_kdd_records(difficulty, tmp_path):
    path = tmp_path / "KDDTrain+.txt"
    lines = [kdd_line(count=i, difficulty=difficulty) for i in range(12)]
    lines += [kdd_line("udp", attack="smurf.", difficulty=difficulty)] * 2
    path.write_text("\n".join(lines))
    table, labels = read_records(path)
    assert tuple(table.columns) == KDD
    assert labels == ["normal"] * 12 + ["smurf"] * 2
    assert table.columns["count"].tolist() == [*range(12), 2, 2]
    data = load_records(path)
    assert data.class_names == ("normal", "smurf")
    assert data.encoding.words[0] == ("tcp",)
    attack = data.test_images[data.test_labels == 1]
    # udp was not met in training: the last number of its group
    np.testing.assert_array_equal(attack[:, data.encoding.features["protocol_type"]], [[0, 1]] * 2)


def test_labels_of_other_tables(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,Label,b\n" + "1,0,x\n" * 12 + "2,1,y\n" * 20)
    data = load_records(path)  # 0 is normal, though 1 is more frequent
    assert data.class_names == ("0", "1")
    path.write_text("a,b\n" + "1,x\n" * 12 + "2,y\n" * 2)
    assert load_records(path).class_names == ("x", "y")
    assert "no label 'z'; its labels are x, y" in sentence(load_records, path, normal="z")
    path.write_text("label\n" + "x\n" * 12)
    assert "has the one column 'label'" in sentence(load_records, path)


def test_the_encoding_standardizes_and_comes_back(tmp_path):
    path = tmp_path / "t.csv"
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal():.4f},{rng.lognormal(5, 2):.4f},{rng.choice(['a', 'b'])},7"
        for _ in range(50)
    ]
    path.write_text("x,bytes,word,constant\n" + "\n".join(rows))
    table = read_table(path)
    encoding = Encoding.fit(table)
    assert encoding.logarithmic == (False, True, False)
    assert encoding.groups == (3,)
    assert encoding.features["word"] == slice(3, 6)
    x = encoding.encode(table)
    assert x.shape == (50, encoding.size)
    np.testing.assert_allclose(x[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x[:, :2].std(axis=0), 1, atol=1e-5)
    assert not x[:, 2].any()
    np.testing.assert_array_equal(x[:, 3:].sum(axis=1), 1)
    back = encoding.decode(x)
    np.testing.assert_allclose(back.columns["bytes"], table.columns["bytes"], rtol=1e-4)
    np.testing.assert_array_equal(back.columns["word"], table.columns["word"])
    assert "no column 'bytes'" in sentence(encoding.encode, table.without("bytes"))
    swapped = type(table)({**table.columns, "x": table.columns["word"]})
    assert "'x' holds words, numbers wanted" in sentence(encoding.encode, swapped)


# ---------------------------------------------------------------- arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (14, 28, 28), dtype=np.uint8)
CLASSES = np.arange(14) % 3


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test", "y_test"), None])
def test_images_of_npz(names, tmp_path):
    path = tmp_path / "mine.npz"
    if names is None:
        np.savez(path, images=IMAGES / 255, labels=CLASSES)
    else:
        parts = (IMAGES[:10], CLASSES[:10], IMAGES[10:, :, :, None], CLASSES[10:, None])
        np.savez(path, **dict(zip(names, parts, strict=True)))
    data = load_images(path)
    assert (data.name, data.classes) == ("mine", 3)
    assert data.train_images.shape[0] == (12 if names is None else 10)
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    order = np.lexsort(images.T)
    wanted = np.lexsort(IMAGES.reshape(14, 784).T)
    np.testing.assert_array_equal(images[order], IMAGES.reshape(14, 784)[wanted])
    np.testing.assert_array_equal(labels[order], CLASSES[wanted])


def test_images_of_a_folder_of_npy(tmp_path):
    for name, array in (("train_images", IMAGES[:10]), ("test_images", IMAGES[10:])):
        np.save(tmp_path / f"{name}.npy", array)
    data = load_images(tmp_path)
    assert (data.train_images.shape, data.test_images.shape) == ((10, 784), (4, 784))
    assert not data.train_labels.any()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": IMAGES}, "holds the arrays pictures; one of train_images, x_train"),
        ({"images": IMAGES[:, :20]}, r"found shape (14, 20, 28), wanted (M, 28, 28)"),
        ({"images": IMAGES[:0]}, "found shape (0, 28, 28)"),
        ({"images": IMAGES.astype(int)}, "found int64, wanted uint8 or floats in [0, 1]"),
        ({"images": IMAGES.astype(float)}, "found values from 0 to 255, wanted [0, 1]"),
        ({"images": IMAGES * np.nan}, "found values from nan to nan"),
        ({"images": IMAGES, "labels": CLASSES[:5]}, "found int64 of shape (5,)"),
        ({"images": IMAGES, "labels": CLASSES - 1}, "wanted whole numbers from 0"),
        ({"images": IMAGES, "labels": CLASSES / 2}, "found float64 of shape (14,)"),
        ({"images": np.array([None])}, "cannot be read as NumPy arrays"),
        ({"images": IMAGES[:1]}, "1 sample(s) found, 2 or more wanted"),
    ],
)
def test_wrong_arrays_are_named(arrays, message, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    assert message in sentence(load_images, path)


def test_a_damaged_array_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=IMAGES)
    path.write_bytes(path.read_bytes()[:100])
    assert "a.npz cannot be read as NumPy arrays" in sentence(load_images, path)
