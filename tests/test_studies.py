"""The studies as their users run them, on a few images."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import minae
from minae import studies
from minae.datasets import images as image_files
from minae.models import Classifier
from minae.studies import classifier, latent_sweep, manifold
from minae.train import main

FILES = {
    "latent-sweep": {"errors.png", "panel.png"},
    "classifier": {"errors.png", "model.safetensors"},
    "kernels": {"kernels.png"},
    "manifold": {"arrows.png"},
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """One core, the first images, and few steps of fine-tuning."""

    def cut(folder=None):
        data = image_files.load_images(folder)
        return replace(
            data,
            train_images=data.train_images[:1000],
            train_labels=data.train_labels[:1000],
            test_images=data.test_images[:500],
            test_labels=data.test_labels[:500],
        )

    monkeypatch.setattr("minae.threads.cores", lambda: 1)
    monkeypatch.setattr("minae.studies.load_images", cut)
    monkeypatch.setattr(classifier, "STEPS", 40)
    monkeypatch.setattr(latent_sweep, "SIZES", (2, 20))


def run(name, backend, folder, *options):
    arguments = [name, "--backend", backend, "--out", str(folder), *options]
    assert main(arguments) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == FILES[name] | {"summary.json"}
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_latent_sweep(backend, tmp_path):
    summary = run("latent-sweep", backend, tmp_path / "run", "--epochs", "25")
    by_size = summary["test_mse_per_pixel"]
    assert [*by_size] == ["2", "20"]
    for found in by_size.values():
        assert len(set(found["seeds"])) == 3
        assert found["mean"] == pytest.approx(np.mean(found["seeds"]))
        assert 0 < found["standard_deviation"] < 0.01
    assert by_size["20"]["pca"] < by_size["2"]["pca"]
    assert by_size["20"]["mean"] < 0.06  # the mean image leaves 0.0675


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_classifier(backend, tmp_path):
    summary = run("classifier", backend, tmp_path / "run", "--epochs", "3")
    rates = summary["test_error_rate"]
    assert [*rates] == ["pretrained", "random weights"]
    for by_count in rates.values():
        assert [*by_count] == ["100", "300"]
        assert np.mean(by_count["300"]) < np.mean(by_count["100"]) < 0.7
    model = minae.load(tmp_path / "run", backend)
    assert isinstance(model, Classifier)
    data = studies.load_images()
    assert model.evaluate(data.test_images, data.test_labels)["error_rate"] < 0.4


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_kernels(backend, tmp_path):
    summary = run("kernels", backend, tmp_path / "run", "--epochs", "1")
    assert summary["test"].keys() == {"plain", "denoising"}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_manifold(backend, tmp_path):
    """The points come back to the curve."""
    summary = run("manifold", backend, tmp_path / "run", "--epochs", "40")
    distance = summary["mean_distance_to_the_curve"]
    assert distance["denoised"] < 0.6 * distance["noisy"]


def test_the_spiral_lies_in_the_unit_square():
    points = manifold.spiral(1000)
    assert points.shape == (1000, 2)
    assert 0 < points.min() < points.max() < 1


@pytest.mark.parametrize("option", ["--data", "--download"])
def test_a_study_of_its_own_points_takes_no_images(option, tmp_path, capsys):
    value = str(tmp_path) if option == "--data" else "fashion-mnist"
    assert main(["manifold", "--backend", "numpy", option, value]) == 2
    assert "manifold makes its own points and takes no images" in capsys.readouterr().err


def test_options_of_one_training_are_refused(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run")]
    for option in ("--latent", "--lr", "--batch-size", "--steps", "--factor", "--resume"):
        assert main(["latent-sweep", "--backend", "numpy", option, "3", *out]) == 2
        sentence = f"latent-sweep trains several models and has no option {option}"
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_downloaded_images_are_studied(tmp_path, monkeypatch):
    """Those that were asked for, and not MNIST in their place."""
    asked = []
    monkeypatch.setattr(studies, "download", lambda name: asked.append(name) or tmp_path / name)
    monkeypatch.setattr(studies, "load_images", lambda folder: asked.append(folder))
    monkeypatch.setattr(studies, "_module", lambda name: SimpleNamespace(study=asked.append))
    with pytest.raises(AttributeError):  # there are no data to study
        main(["kernels", "--download", "kmnist", "--out", str(tmp_path / "run")])
    assert asked == ["kmnist", tmp_path / "kmnist"]
