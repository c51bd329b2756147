"""The task recipes: their data and outputs are what they claim, and their loss falls."""

import json

import numpy as np
import pytest
import torch

import minae
from minae import detection, recipes
from minae.anomaly import auroc, contributions
from minae.bicubic import bicubic
from minae.datasets import load_levels, load_records, load_rolls, load_series
from minae.datasets.connections import ATTACKS, generate_connections
from minae.datasets.encoding import Encoding
from minae.datasets.heartbeats import KINDS as BEATS
from minae.datasets.heartbeats import generate_heartbeats
from minae.datasets.levels import KINDS, SIGNS, generate_levels
from minae.datasets.melodies import generate_melodies, in_key
from minae.errors import MinaeError
from minae.layers import Dense
from minae.losses import MSE, MixedLoss
from minae.models import RecordVAE, SuperResolution
from minae.models.super_resolution import psnr
from minae.train import main
from minae.training import Training

BACKENDS = ("numpy", "numba")


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    monkeypatch.setattr("minae.threads.cores", lambda: 1)


def trained(name, data, backend, steps, dtype=np.float32, **options):
    """The recipe's model after so many steps, and its loss before and after on the test part."""
    known = recipes.options(name)
    options |= {n: value for n, value in data.dimensions.items() if n in known}
    recipe = recipes.make(name, **options)
    model = recipe.model.bind(backend, dtype, seed=0)
    training = Training(model, recipe.optimizer, data.train_images, batch_size=recipe.batch_size)
    losses = []
    for _ in range(steps):
        training.step()
        losses.append(training.loss())
    return model, losses


def falls(losses, least=0.9):
    tenth = max(1, len(losses) // 10)
    return np.mean(losses[-tenth:]) < least * np.mean(losses[:tenth])


# ---------------------------------------------------------------- data made here


@pytest.mark.parametrize("generate", [generate_heartbeats, generate_melodies, generate_levels])
def test_the_same_seed_makes_the_same_data(generate):
    small = {"normal": 5, "of_each_anomaly": 2} if generate is generate_heartbeats else {"count": 5}
    one, two, other = generate(**small), generate(**small), generate(**small, seed=1)
    first = [x[0] if isinstance(x, tuple) else x for x in (one, two, other)]
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0] != first[2]).any()


def test_heartbeats_are_marked_where_they_are_strange():
    beats, kinds, marks = generate_heartbeats(normal=50, of_each_anomaly=20)
    assert beats.shape == marks.shape == (150, 140)
    normal = beats[kinds == 0]
    assert not marks[kinds == 0].any()
    assert marks[kinds != 0].any(axis=1).all()
    assert (normal.argmax(axis=1) > 40).all()
    assert (normal.argmax(axis=1) < 63).all()  # the R wave
    far = np.abs(beats - normal.mean(axis=0))
    for kind in range(1, len(BEATS)):
        strange = kinds == kind
        assert far[strange][marks[strange]].mean() > 1.4 * far[strange][~marks[strange]].mean()


def test_connections_are_what_their_rules_say():
    table, labels = generate_connections(normal=400, of_each_attack=30)
    c = {name: i + 1 for i, name in enumerate(ATTACKS)}
    column = table.columns
    assert len(table) == 550
    assert (column["flag"][labels == 0] == "SF").mean() > 0.9
    assert (column["flag"][labels == c["syn flood"]] == "S0").all()
    assert (column["failed_logins"][labels == c["guessing"]] >= 2).all()
    assert (column["service"][labels == c["tunnel"]] == "dns").all()
    assert np.median(column["bytes_out"][labels == c["exfiltration"]]) > 1e6
    np.testing.assert_array_equal(column["protocol"] == "udp", column["service"] == "dns")


def broken_rules(maps):
    """Share of ground with something else below it, and of enemies that stand on nothing."""
    ground, pipe = KINDS.index("ground"), KINDS.index("pipe")
    above, below = maps[:, :-1], maps[:, 1:]
    grounds, enemies = above == ground, above == KINDS.index("enemy")
    floating = enemies & (below != ground) & (below != pipe)
    return (grounds & (below != ground)).sum() / grounds.sum(), floating.sum() / max(
        enemies.sum(), 1
    )


def test_levels_keep_their_rules():
    maps = generate_levels(300)
    assert maps.shape == (300, 16, 16)
    assert set(np.unique(maps)) == set(range(len(KINDS)))
    assert broken_rules(maps) == (0, 0)
    coins = maps == KINDS.index("coin")
    assert (maps[:, 1:][coins[:, :-1]] == KINDS.index("brick")).all()
    assert not coins[:, -1].any()


def test_melodies_keep_their_key():
    rolls, keys = generate_melodies(200)
    assert rolls.shape == (200, 24, 32)
    for roll, key in zip(rolls, keys, strict=True):
        assert not roll[~in_key(key)].any()
    assert rolls.sum(axis=1).max() == 4
    assert (rolls[:, 12:].sum(axis=1) == 3).all()  # a triad in the lower octave
    assert (rolls[:, :12].sum(axis=1) <= 1).all()  # one voice above
    changes = (rolls[:, 12:, 1:] != rolls[:, 12:, :-1]).any(axis=(0, 1))
    assert set(np.flatnonzero(changes) + 1) == {8, 16, 24}


def test_levels_of_a_file(tmp_path):
    maps = generate_levels(3)
    text = "\n\n".join("\n".join("".join(SIGNS[k] for k in row) for row in level) for level in maps)
    path = tmp_path / "mine.txt"
    path.write_text(text)
    data = load_levels(path)
    images = np.concatenate([data.train_images, data.test_images])
    found = images.reshape(3, len(KINDS), 16, 16).argmax(axis=1)
    assert sorted(map(bytes, found)) == sorted(map(bytes, maps))
    for wrong, message in (
        (text.replace("-", "?", 1), r"line 1: found '\?', wanted one of - X = o \[ E \|"),
        (text + "\n---", "line 51: found 3 signs, wanted 16"),
        (text + "\n" + "-" * 16, "ends after 1 rows of a map, 16 wanted"),
    ):
        path.write_text(wrong)
        with pytest.raises(MinaeError, match=message):
            load_levels(path)


def test_rolls_of_arrays(tmp_path):
    rolls, _ = generate_melodies(14)
    np.save(tmp_path / "mine.npy", (255 * rolls).astype(np.uint8))
    data = load_rolls(tmp_path / "mine.npy")
    assert (data.name, data.train_images.shape) == ("mine", (12, 768))


# ---------------------------------------------------------------- the mixed loss in a model


def test_a_mixed_loss_names_its_mistakes():
    for arguments in ({"numeric": -1}, {"groups": (3, 0)}, {}):
        with pytest.raises(MinaeError, match="a mixed loss wants 0 numbers or more"):
            MixedLoss(**arguments)
    ops = minae.get_backend("numpy")
    y = np.zeros((2, 5))
    with pytest.raises(MinaeError, match="of 4 channels was given 5 along axis 1"):
        MixedLoss(numeric=1, groups=(3,))(ops, y, y, value=np.zeros(1), dy=None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradients_of_the_new_models(backend):
    """Against differences of the loss, in double precision."""
    for name, data, options in (
        ("series", load_series(), {}),
        ("intrusion", load_records(), {"latent": 2}),
        ("levels", load_levels(), {"latent": 2}),
    ):
        known = recipes.options(name)
        options |= {n: value for n, value in data.dimensions.items() if n in known}
        model = recipes.make(name, **options).model.bind(backend, np.float64, seed=1)
        images, rows = model.device_images(data.train_images[:3]), np.arange(3)
        cache = model.new_cache(3)
        model.load(images, None, rows, cache)
        model.forward(cache)
        model.backward(cache)
        gradient = model.parameters.gradients.copy()
        rng = np.random.default_rng(2)
        direction = rng.normal(size=gradient.shape)
        w, h, values = model.parameters.values.copy(), 1e-8, []  # less than to the next kink
        for sign in (1, -1):
            model.parameters.values[:] = w + sign * h * direction
            model.forward(cache)
            values.append(cache.values["loss"][0])
        wanted = (values[0] - values[1]) / (2 * h)
        assert gradient @ direction == pytest.approx(wanted, rel=1e-5)


# ---------------------------------------------------------------- series


@pytest.mark.parametrize("backend", BACKENDS)
def test_series(backend, tmp_path):
    data = load_series()
    model, losses = trained("series", data, backend, 300)
    assert falls(losses, 0.3)
    strange = data.test_labels != 0
    errors, scores = model.errors(data.test_images), model.score(data.test_images)
    np.testing.assert_allclose(errors.mean(axis=1), scores, rtol=1e-5)
    y, std = model.reconstruct(data.test_images), data.dimensions["std"]
    np.testing.assert_allclose(errors, ((y - data.test_images) / std) ** 2, rtol=0.01, atol=1e-3)
    assert auroc(scores, strange) > 0.95
    found = detection.report(model, data)
    assert found["auroc"] == auroc(scores, strange)
    assert found["auroc_of_steps"] > 0.75
    assert set(found["by_class"]) == set(BEATS[1:])
    assert "AUROC of the time steps" in detection.table(found)
    # the unit does not matter: volts or millivolts give the same scores
    minae.save(model, tmp_path / "model.safetensors")
    again = minae.load(tmp_path / "model.safetensors", backend)
    np.testing.assert_array_equal(again.score(data.test_images), scores)
    with pytest.raises(MinaeError, match="samples are finite numbers"):
        model.score(np.full((1, 140), np.nan))


@pytest.mark.parametrize("length", [2, 5, 46, 47, 48, 49])
def test_series_of_any_length(length):
    model = recipes.make("series", length=length, latent=2).model.bind("numpy")
    assert model.reconstruct(np.zeros((3, length))).shape == (3, length)


# ---------------------------------------------------------------- intrusion


@pytest.mark.parametrize("backend", BACKENDS)
def test_intrusion(backend, tmp_path):
    data = load_records()
    model, losses = trained("intrusion", data, backend, 400)
    assert falls(losses, 0.7)
    strange = data.test_labels != 0
    scores = model.score(data.test_images)
    assert auroc(scores, strange) > 0.97
    parts = contributions(model.errors(data.test_images), model.encoding.features)
    np.testing.assert_allclose(sum(parts.values()), scores, rtol=1e-5)
    guessing = data.test_labels == 1 + ATTACKS.index("guessing")
    means = {name: part[guessing].mean() for name, part in parts.items()}
    assert max(means, key=means.get) == "failed_logins"
    # what is decoded is a record: words sum to one
    y = model.decode(model.encode(data.test_images[:50]))
    for name in model.encoding.categorical:
        np.testing.assert_allclose(y[:, model.encoding.features[name]].sum(axis=1), 1, rtol=1e-5)
    minae.save(model, tmp_path / "model.safetensors")
    again = minae.load(tmp_path / "model.safetensors", backend)
    assert again.encoding == model.encoding
    np.testing.assert_array_equal(again.score(data.test_images), scores)
    # the loss of the parts is that of the model
    figures = model.evaluate(data.test_images[:100])
    total = figures["reconstruction_nats"] + figures["kl_nats"]
    assert figures["nats_per_image"] == pytest.approx(total)


def test_records_must_fit_their_encoding():
    encoding = Encoding(("a",), (False,), (0.0,), (1.0,), ("b",), (("x", "y"),))
    arguments = {
        "input_shape": (4,),
        "latent": 1,
        "encoder": Dense(4, 2),
        "decoder": Dense(1, 4),
        "encoding": encoding,
    }
    RecordVAE(**arguments, loss=MixedLoss(numeric=1, groups=(3,)))
    for loss in (MSE(), MixedLoss(numeric=2, groups=(2,))):
        with pytest.raises(MinaeError, match=r"must be MixedLoss\(numeric=1, groups=\(3,\)\)"):
            RecordVAE(**arguments, loss=loss)
    with pytest.raises(MinaeError, match="give their encoding"):
        recipes.make("intrusion")


# ---------------------------------------------------------------- levels and music


@pytest.mark.parametrize("backend", BACKENDS)
def test_levels(backend):
    data = load_levels()
    model, losses = trained("levels", data, backend, 250)
    assert falls(losses, 0.6)
    p = model.sample(40).reshape(40, *data.map_shape)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-4)  # a softmax over the kinds
    maps = p.argmax(axis=1)
    assert (maps[:, 0] == KINDS.index("sky")).all()
    assert (maps[:, -1] == KINDS.index("ground")).mean() > 0.6
    assert broken_rules(maps)[0] < 0.1
    assert len(np.unique(maps.reshape(40, -1), axis=0)) > 20  # they differ


@pytest.mark.parametrize("backend", BACKENDS)
def test_music(backend):
    data = load_rolls()
    model, losses = trained("music", data, backend, 200)
    assert falls(losses, 0.7)
    p = model.sample(40).reshape(40, 24, 32)
    assert p.min() >= 0
    assert p.max() <= 1
    wanted = data.train_images.mean() / 255
    assert p.mean() == pytest.approx(wanted, rel=0.25)  # as many notes as in the data


# ---------------------------------------------------------------- super-resolution


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_is_that_of_pytorch(factor):
    x = np.random.default_rng(0).random((3, 2 * 5 * 7))
    found = bicubic(x, (2, 5, 7), factor, a=-0.75)  # PyTorch's choice
    wanted = torch.nn.functional.interpolate(
        torch.tensor(x).reshape(3, 2, 5, 7), scale_factor=factor, mode="bicubic"
    )
    np.testing.assert_allclose(found, wanted.reshape(3, -1), rtol=1e-12)


def test_bicubic_is_exact_for_parabolas():
    t = np.arange(12.0)
    larger = bicubic((t**2)[None], (1, 1, 12), 2).reshape(2, 24)[0]
    at = (np.arange(24) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(larger[4:-4], (at**2)[4:-4], rtol=1e-12)


def test_psnr():
    x = np.zeros((2, 4))
    y = np.array([[0.1] * 4, [1.0] * 4])
    np.testing.assert_allclose(psnr(x, y), [20, 0], atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("factor", [2, 4])
def test_super_resolution(backend, factor, tmp_path):
    from minae.datasets import load_images

    data = load_images()
    model, losses = trained("super-resolution", data, backend, 40, factor=factor)
    assert falls(losses, 0.8)
    images = data.test_images[:30]
    small = model.downscale(images)
    side = 28 // factor
    blocks = images.reshape(30, side, factor, side, factor) / 255
    np.testing.assert_allclose(
        small.reshape(30, side, side), blocks.mean(axis=(2, 4)), rtol=1e-5, atol=1e-6
    )
    large = model.upscale(small)
    np.testing.assert_allclose(large, model.reconstruct(images), rtol=1e-4, atol=1e-5)
    figures = model.evaluate(images)
    assert figures["enlarged_psnr"] == pytest.approx(psnr(images / 255, large).mean(), rel=1e-4)
    cubic = np.clip(bicubic(small, model.small_shape, factor), 0, 1)
    assert figures["bicubic_psnr"] == pytest.approx(psnr(images / 255, cubic).mean(), rel=1e-4)
    minae.save(model, tmp_path / "model.safetensors")
    again = minae.load(tmp_path / "model.safetensors", backend)
    assert isinstance(again, SuperResolution)
    np.testing.assert_array_equal(again.upscale(small), large)
    with pytest.raises(MinaeError, match="enlarges images of shape"):
        model.upscale(images)


# ---------------------------------------------------------------- runs


@pytest.mark.parametrize(
    ("recipe", "figures", "files"),
    [
        ("series", {"mse_per_value"}, {"loss", "series", "scores", "latent"}),
        (
            "intrusion",
            {"reconstruction_nats", "kl_nats", "nats_per_image"},
            {"loss", "features", "scores", "latent"},
        ),
    ],
)
def test_run_of_a_detector(recipe, figures, files, tmp_path, capsys):
    run = tmp_path / "run"
    assert main([recipe, "--backend", "numpy", "--steps", "60", "--out", str(run)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test"].keys() == figures
    assert summary["anomalies"]["auroc"] > 0.8
    assert {path.stem for path in (run / "figures").iterdir()} == files
    assert "normal samples against" in capsys.readouterr().out


def test_run_of_super_resolution(tmp_path, monkeypatch, capsys):
    from dataclasses import replace

    from minae.datasets import load_images

    def cut(path=None):
        data = load_images(path)
        return replace(
            data,
            train_images=data.train_images[:300],
            test_images=data.test_images[:300],
            train_labels=data.train_labels[:300],
            test_labels=data.test_labels[:300],
        )

    monkeypatch.setattr("minae.datasets.images.load_images", cut)
    run = tmp_path / "run"
    command = ["super-resolution", "--factor", "4", "--backend", "numpy", "--steps", "4"]
    assert main([*command, "--out", str(run)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert {"bicubic_psnr", "enlarged_psnr"} < summary["test"].keys()
    assert {path.stem for path in (run / "figures").iterdir()} == {"loss", "enlarged"}
    assert minae.load(run, "numpy").factor == 4
    assert main(["super-resolution", "--factor", "3", "--out", str(tmp_path / "no")]) == 2
    assert "the factor is 2 or 4, found 3" in capsys.readouterr().err


def test_a_file_given_with_data(tmp_path, capsys):
    beats, kinds, _ = generate_heartbeats(normal=40, of_each_anomaly=2)
    path = tmp_path / "beats.csv"
    lines = [
        ",".join([str(k), *(f"{x:.4f}" for x in row[::2])])
        for k, row in zip(kinds, beats, strict=True)
    ]
    path.write_text("\n".join(lines))
    run = tmp_path / "run"
    command = ["series", "--backend", "numpy", "--steps", "3", "--out", str(run)]
    assert main([*command, "--data", str(path)]) == 0
    assert minae.load(run, "numpy").input_shape == (1, 70)
    path.write_text(path.read_text().replace(",", ",x", 1))
    assert main([*command[:-1], str(tmp_path / "no"), "--data", str(path)]) == 2
    assert "beats.csv, line 1: found 'x" in capsys.readouterr().err
    assert main(["series", "--download", "kmnist", "--out", str(tmp_path / "no")]) == 2
    assert "'series' is not trained on images" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
