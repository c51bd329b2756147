"""The commands on runs whose data are no images: their words, their files, data of a text file."""

import csv
import json

import numpy as np
import pytest
from matplotlib.axes import Axes
from test_commands import PNG, minae_says

import minae
from minae import command, recipes, score
from minae.anomaly import threshold
from minae.datasets import load_records, read_table
from minae.datasets.connections import generate_connections
from minae.datasets.heartbeats import generate_heartbeats
from minae.datasets.levels import SIGNS, drawn, generate_levels
from minae.datasets.melodies import generate_melodies
from minae.train import main as train

RUNS = ("series", "intrusion", "levels", "music")
FLOATS = ("series", "intrusion")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A small file of each kind, in the format that the training reads."""
    folder = tmp_path_factory.mktemp("files")
    beats, kinds, _ = generate_heartbeats(normal=60, of_each_anomaly=4)
    lines = [" ".join([str(k), *map(str, b)]) for k, b in zip(kinds, beats, strict=True)]
    (folder / "series.txt").write_text("\n".join(lines))
    table, labels = generate_connections(normal=200, of_each_attack=8)
    with (folder / "intrusion.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", *table.columns])
        names = np.array(["normal", *(f"attack {c}" for c in range(1, 6))])[labels]
        writer.writerows(zip(names, *table.columns.values(), strict=True))
    maps = generate_levels(40)
    rows = ("\n".join("".join(SIGNS[k] for k in row) for row in level) for level in maps)
    (folder / "levels.txt").write_text("\n\n".join(rows))
    np.save(folder / "music.npy", (255 * generate_melodies(40)[0]).astype(np.uint8))
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def runs(files, tmp_path_factory):
    """One run of each recipe on its file."""
    folder = tmp_path_factory.mktemp("other_runs")
    for recipe in RUNS:
        options = ["--data", str(files[recipe]), "--steps", "12", "--backend", "numpy", "--quiet"]
        assert train([recipe, *options, "--threads", "1", "--out", str(folder / recipe)]) == 0
    return folder


def all_commands(run, out):
    """(name, options) of every command, with what it writes."""
    codes = np.load(out / "codes.npy")[:4]
    np.save(out / "four.npy", codes)
    suffix = ".csv" if run.name == "intrusion" else ".png"
    for name, options in (
        ("reconstruct", []),
        ("decode", ["--codes", out / "four.npy"]),
        ("sample", ["--count", "12"]),
        ("interpolate", ["--steps", "3"]),
        ("traverse", ["--steps", "3"]),
        ("neighbours", ["-k", "2"]),
        ("denoise", []),
        ("denoise", ["--noise", "mask"]),
        ("score", []),
    ):
        yield name, [*options, "--out", out / f"{name}{suffix}"]
    yield "evaluate", []
    yield "compress", ["--out", out / "file.minae"]


@pytest.mark.parametrize("recipe", RUNS)
def test_every_command_speaks_of_the_data(recipe, runs, tmp_path, capsys):
    run, refused = runs / recipe, []
    assert minae_says(capsys, "encode", run, "--out", tmp_path / "codes.npy")[0] == 0
    for name, options in all_commands(run, tmp_path):
        code, said = minae_says(capsys, name, run, *options)
        said = said.replace(str(tmp_path), "").replace(str(run), "RUN")
        assert code == 0 or said.count("\n") == 1
        if code:
            refused.append(name)
        elif name not in ("evaluate", "compress"):
            content = options[-1].read_bytes()
            assert content.startswith(PNG) or recipe == "intrusion"
        assert "image" not in said.replace("and only images are filled in", "")
        assert "pixel" not in said
    wanted = {"series": ["compress"], "intrusion": ["denoise", "denoise", "compress"]}
    assert refused == wanted.get(recipe, [])
    code, said = minae_says(capsys, "inpaint", run, "--first", "2", "--out", tmp_path / "i.png")
    assert code == (0 if recipe == "music" else 2)
    assert "notes missing" in said if recipe == "music" else "only images are filled in" in said


@pytest.mark.parametrize("recipe", RUNS)
def test_the_training_speaks_of_the_data(recipe, runs, tmp_path, capsys, monkeypatch):
    drawn = []
    for method in ("set_title", "set_xlabel", "set_ylabel"):
        monkeypatch.setattr(Axes, method, lambda axes, words, **style: drawn.append(words))
    options = ["--steps", "2", "--backend", "numpy", "--threads", "1", "--out", tmp_path / "run"]
    code, said = minae_says(capsys, "train", recipe, *options)
    assert code == 0
    for words in [said.replace(str(tmp_path), ""), *drawn]:
        assert "image" not in words
        assert "pixel" not in words
    assert drawn
    data = recipes.data(recipe)
    assert f"codes of {len(data.load().test_images)} test {data.samples}" in " ".join(drawn)


def test_nouns():
    say = {name: recipes.data(name).say for name in ("vae", *RUNS)}
    assert say["vae"]("nats an image, mean image, a pixel") == "nats an image, mean image, a pixel"
    assert say["series"]("test images, a pixel") == "test series, a time step"
    assert say["intrusion"]("nats an image") == "nats a record"
    assert say["music"]("mean image, per pixel, images") == "mean roll, per note, rolls"
    assert say["levels"]("mean image") == "mean map"


@pytest.mark.parametrize("recipe", RUNS)
def test_data_are_read_as_in_training(recipe, runs, files, tmp_path, capsys):
    """--data FILE gives the very rows that the training made of them, wherever the file lies."""
    run = command.Run(runs / recipe)
    found = run.read(files[recipe], "test")
    both = np.concatenate([run.data.train_images, run.data.test_images])
    if recipe in FLOATS:
        both = np.concatenate([both, run.data.held_out_images])
    flat = {row.tobytes() for row in found.images.astype(both.dtype)}
    assert flat == {row.tobytes() for row in both}
    if recipe in FLOATS:
        of_training = {row.tobytes() for row in run.data.train_images}
        assert all(
            label == 0
            for row, label in zip(found.images, found.labels, strict=True)
            if row.tobytes() in of_training
        )
        assert (found.labels != 0).sum() == (run.data.test_labels != 0).sum()
    for name in ("reconstruct", "encode", "evaluate", "neighbours", "score", "interpolate"):
        out = tmp_path / ("o.json" if name == "evaluate" else "o.csv")
        code, said = minae_says(capsys, name, runs / recipe, "--data", files[recipe], "--out", out)
        assert code == 0, said


def test_the_preprocessing_is_that_of_the_run(runs, tmp_path):
    """Scaling, words and labels are not fitted to the file: one record is read as among all."""
    run = command.Run(runs / "intrusion")
    table, _ = generate_connections(normal=200, of_each_attack=8)
    one = tmp_path / "one.csv"
    columns = {name: column[:1] for name, column in table.columns.items()}
    with one.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    found = run.read(one, "test")
    assert found.labels is None
    np.testing.assert_array_equal(found.images, run.model.encoding.encode(table.rows(np.arange(1))))


def test_new_words_and_labels(runs, files, tmp_path, capsys):
    lines = files["intrusion"].read_text().splitlines()
    fields = lines[1].split(",")
    place = lines[0].split(",").index("service")
    fields[0], fields[place] = "strange", "gopher"
    mine = tmp_path / "mine.csv"
    mine.write_text("\n".join([lines[0], ",".join(fields), *lines[2:9]]))
    run = command.Run(runs / "intrusion")
    found = run.read(mine, "test")
    said = capsys.readouterr().out
    assert f"{mine}: words that the run has not met in service, taken as 'other': gopher" in said
    assert "labels that the run has not met, taken as anomalies: strange" in said
    assert list(found.labels) == [len(run.data.class_names), *[0] * 7]
    group = run.model.encoding.features["service"]
    np.testing.assert_array_equal(found.images[0, group], np.eye(group.stop - group.start)[-1])
    # nothing is stranger than the word that never was
    scores = run.model.score(found.images)
    assert scores.argmax() == 0
    lines[0] = lines[0].replace(",service", ",port")
    mine.write_text("\n".join(lines[:5]))
    code, said = minae_says(capsys, "score", runs / "intrusion", "--data", mine)
    assert (code, said.count("\n")) == (2, 1)
    assert "the records have no column 'service'" in said


def test_a_series_file_with_and_without_labels(runs, files, tmp_path, capsys):
    run = command.Run(runs / "series")
    lines = files["series"].read_text().splitlines()
    for separator, suffix in ((",", "csv"), ("\t", "tsv"), (" ", "txt")):
        path = tmp_path / f"bare.{suffix}"
        path.write_text("\n".join(separator.join(line.split()[1:]) for line in lines))
        found = run.read(path, "test")
        assert found.labels is None
        np.testing.assert_array_equal(found.images, run.read(files["series"], "test").images)
    path.write_text("\n".join(" ".join(line.split()[:-1]) + " x" for line in lines))
    code, said = minae_says(capsys, "encode", runs / "series", "--data", path)
    assert (code, "line 1: found 'x' as value 140, wanted a finite number" in said) == (2, True)
    path.write_text("\n".join(" ".join(line.split()[:50]) for line in lines))
    code, said = minae_says(capsys, "encode", runs / "series", "--data", path)
    assert (code, said) == (
        2, f"minae: {path} holds series of 49 time steps, the model takes 140\n"
    )  # fmt: skip


def test_nsl_kdd_with_and_without_labels(tmp_path, capsys):
    """41, 42 and 43 fields; the attack's name is the label, as in training."""
    rng = np.random.default_rng(0)
    words = (["tcp", "udp"], ["http", "smtp"], ["SF", "S0"])
    lines = []
    for i in range(60):
        numbers = [str(x) for x in rng.integers(0, 30, 38)]
        texts = [str(rng.choice(w)) for w in words]
        attack = "normal" if i < 40 else "neptune"
        lines.append([numbers[0], *texts, *numbers[1:], attack, "21"])
    path = tmp_path / "kdd.txt"
    path.write_text("\n".join(",".join(line) for line in lines))
    options = ["--steps", "3", "--backend", "numpy", "--quiet", "--threads", "1"]
    assert train(["intrusion", "--data", str(path), *options, "--out", str(tmp_path / "run")]) == 0
    run = command.Run(tmp_path / "run")
    path.unlink()  # what is needed of it stands in the run
    rows = []
    for fields, end in ((41, ""), (42, "."), (43, "")):
        path = tmp_path / f"{fields}.txt"
        cut = [line[:fields] for line in lines]
        path.write_text("\n".join(",".join(line) + end for line in cut))
        found = run.read(path, "test")
        rows.append(found.images)
        if fields == 41:
            assert found.labels is None
        else:
            np.testing.assert_array_equal(found.labels, [0] * 40 + [1] * 20)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])


def test_words_that_look_like_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("port,x\n0080,1\n22,2\n")
    assert read_table(path).columns["port"].dtype.kind == "f"
    columns = read_table(path, words=("port",)).columns
    assert list(columns["port"]) == ["0080", "22"]
    assert columns["x"].dtype.kind == "f"


def test_a_table_of_records_is_read_back(runs, tmp_path, capsys):
    run = runs / "intrusion"
    samples = command.Run(run).part("test")
    out = tmp_path / "pairs.csv"
    assert minae_says(capsys, "reconstruct", run, "--first", "9", "--out", out)[0] == 0
    with out.open() as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["row", "place", "duration"]
    assert [row[:2] for row in rows[1:]] == [
        [name, str(i)] for name in ("original", "reconstruction") for i in range(9)
    ]
    back = command.Run(run).read(out, "test")
    assert back.labels is None
    np.testing.assert_allclose(back.images[:9], samples.images[:9], atol=1e-4)


def test_scores_name_the_places(runs, tmp_path, capsys):
    for recipe, parts in (("levels", "tile ("), ("music", "note ("), ("series", "time step ")):
        code, said = minae_says(capsys, "score", runs / recipe, "--out", tmp_path / "s.csv")
        assert code == 0, said
        assert f", from {parts}" in said
        run = command.Run(runs / recipe)
        names, D = run.kind.parts(run.model), int(np.prod(run.model.input_shape))
        columns = np.concatenate([np.arange(D)[where] for where in names.values()])
        assert sorted(columns) == [*range(D)]  # each number has one place
    tile = recipes.data("levels").parts(command.Run(runs / "levels").model)["tile (3, 5)"]
    maps = generate_levels(2)
    images = (maps[:, None] == np.arange(7)[:, None, None]).reshape(2, -1)
    np.testing.assert_array_equal(images[:, tile].argmax(axis=1), maps[:, 3, 5])
    np.testing.assert_array_equal(drawn(images), maps)
    assert (drawn(np.zeros((1, images.shape[1]))) == 7).all()  # blank


def test_scores_are_those_of_the_summary(runs, tmp_path, capsys):
    """The command's threshold is that of summary.json: one scale for both."""
    for recipe in FLOATS:
        run = command.Run(runs / recipe)
        terms = score.errors(run.model, run.data.test_images)
        np.testing.assert_allclose(terms.sum(axis=1), run.model.score(run.data.test_images), 1e-5)
        found = json.loads((runs / recipe / "summary.json").read_text())["anomalies"]
        held_out = score.errors(run.model, run.data.held_out_images).sum(axis=1)
        wanted = found["at_false_alarm_rate"]["0.05"]["threshold"]
        assert threshold(held_out, 0.05) == pytest.approx(wanted, rel=1e-5)


def test_records_make_no_picture(runs, tmp_path, capsys):
    for name in ("reconstruct", "sample", "score", "neighbours"):
        code, said = minae_says(capsys, name, runs / "intrusion", "--out", tmp_path / "a.png")
        assert (code, said.count("\n")) == (2, 1)
        assert "records make a table and no picture: give --out a .csv file" in said
    assert [*tmp_path.iterdir()] == []


def test_only_bytes_are_compressed(runs):
    for recipe in FLOATS:
        model = minae.load(runs / recipe, "numpy")
        with pytest.raises(minae.MinaeError, match="a file holds samples of bytes"):
            minae.compression.compress(model, np.zeros((2, 140)), lossless=False)


def test_the_sizes_are_drawn(runs, tmp_path, capsys):
    code, said = minae_says(capsys, "compress", runs / "levels", "--out", tmp_path / "a.minae")
    assert code == 0, said
    assert (tmp_path / "a-sizes.png").read_bytes().startswith(PNG)
    out = tmp_path / "back.npy"
    assert minae_says(capsys, "decompress", runs / "levels", tmp_path / "a.minae", "--out", out)[
        0
    ] == 0  # fmt: skip
    back = np.load(out)
    np.testing.assert_array_equal(back, command.Run(runs / "levels").part("test").images)


def test_records_without_the_training_file_need_no_file(runs):
    assert load_records().class_names[0] == "normal"
    config = json.loads((runs / "series" / "config.json").read_text())
    assert config["class_names"][0] == "0"
