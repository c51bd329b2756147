"""The main job as its users run it: what it writes, what it says, how it fails."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minae
from bench import must_show
from bench.must_show import COMPARISONS, TARGETS, reached
from minae import recipes, studies
from minae.datasets import images as image_files
from minae.train import main

FIGURES = {
    "vanilla": {"loss", "reconstructions", "latent", "kernels"},
    "deep": {"loss", "reconstructions", "latent", "kernels"},
    "latent": {"loss", "reconstructions", "latent", "grid", "kernels"},
    "tanh": {"loss", "reconstructions", "latent", "kernels"},
    "conv": {"loss", "reconstructions", "latent"},
    "conv-pool": {"loss", "reconstructions", "latent"},
    "vae": {"loss", "reconstructions", "latent", "samples"},
    "beta-vae": {"loss", "reconstructions", "latent", "samples"},
    "iwae": {"loss", "reconstructions", "latent", "samples"},
    "cvae": {"loss", "reconstructions", "latent", "classes"},
    "series": {"loss", "series", "scores", "latent"},
    "intrusion": {"loss", "features", "scores", "latent"},
    "levels": {"loss", "reconstructions", "samples", "latent"},
    "music": {"loss", "reconstructions", "samples", "latent"},
    "super-resolution": {"loss", "enlarged"},
    "overcomplete": {"loss", "reconstructions", "latent", "kernels", "copies"},
    "denoising": {"loss", "reconstructions", "latent", "kernels", "denoised"},
    "conv-denoising": {"loss", "reconstructions", "latent", "denoised"},
    "contractive": {"loss", "reconstructions", "latent", "kernels"},
    "tied": {"loss", "reconstructions", "latent", "kernels"},
    "pca": {"loss", "reconstructions", "latent", "kernels"},
    "sparse": {"loss", "reconstructions", "latent", "kernels"},
    "dropout": {"loss", "reconstructions", "latent", "kernels"},
    "hinton": {"loss", "reconstructions", "latent", "kernels"},
}
# recipes whose figures are not those of KEYS, or that have no baselines: test_tasks.py
OTHER = ("series", "intrusion", "super-resolution")
KEYS = {"mse_per_pixel", "squared_error_per_image", "bce_per_pixel", "bce_floor_per_pixel"}
NATS = {"reconstruction_nats", "kl_nats", "nats_per_image"}
OWN_KEYS = {  # of some models, beside those of all
    "vae": NATS,
    "beta-vae": NATS,
    "cvae": NATS,
    "levels": NATS,
    "music": NATS,
    "iwae": {"bound_nats"},
    "denoising": {"damaged_psnr", "denoised_psnr"},
    "conv-denoising": {"damaged_psnr", "denoised_psnr"},
    "contractive": {"jacobian_norm"},
    "sparse": {"active_share"},
}


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """A run in this process leaves it with the one thread that conftest.py chose."""
    monkeypatch.setattr("minae.threads.cores", lambda: 1)


@pytest.fixture
def small_mnist(monkeypatch):
    """The data in the box cut to its first images, so that a run takes a moment."""
    load = image_files.load_images

    def cut(folder=None, *arguments):
        from dataclasses import replace

        data = load(folder, *arguments)
        return replace(
            data,
            train_images=data.train_images[:1000],
            train_labels=data.train_labels[:1000],
            test_images=data.test_images[:500],
            test_labels=data.test_labels[:500],
        )

    monkeypatch.setattr(image_files, "load_images", cut)


def rows(run: Path):
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("recipe", [name for name in recipes.RECIPES if name not in OTHER])
def test_run_folder(recipe, backend, tmp_path, small_mnist, capsys):
    run = tmp_path / "run"
    assert main([recipe, "--backend", backend, "--epochs", "2", "--out", str(run)]) == 0
    assert {path.name for path in run.iterdir()} == {
        "config.json",
        "figures",
        "metrics.csv",
        "model.safetensors",
        "summary.json",
    }
    assert {path.stem for path in (run / "figures").iterdir()} == FIGURES[recipe]
    assert [(row["epoch"], row["split"]) for row in rows(run)] == [
        ("1", "train"),
        ("1", "test"),
        ("2", "train"),
        ("2", "test"),
    ]
    assert float(rows(run)[3]["loss"]) < float(rows(run)[1]["loss"])

    summary = json.loads((run / "summary.json").read_text())
    assert (summary["recipe"], summary["backend"], summary["dtype"]) == (recipe, backend, "float32")
    assert summary["seconds"] > 0
    assert summary["samples_per_second"] > 0
    assert {"minae", "numpy", "python"} <= summary["versions"].keys()
    for split in ("train", "test"):
        assert summary[split].keys() == KEYS | OWN_KEYS.get(recipe, set())
        assert summary["baselines"]["mean_image"][split].keys() == KEYS
        assert summary["baselines"]["pca"][split].keys() == KEYS
    model = minae.load(run, backend)
    labels = np.array([3, 4]) if recipe == "cvae" else None
    codes = np.zeros((2, model.code))
    images = model.decode(codes) if labels is None else model.decode(codes, labels)
    assert images.shape == (2, np.prod(model.input_shape))
    assert f"per {recipes.data(recipe).sample}" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_run_on_both_backends(tmp_path, small_mnist):
    losses = {}
    for name, backend in (("a", "numpy"), ("b", "numpy"), ("c", "numba")):
        command = ["vae", "--backend", backend, "--dtype", "float64", "--steps", "9", "--seed", "5"]
        assert main([*command, "--out", str(tmp_path / name), "--quiet"]) == 0
        losses[name] = [float(row["loss"]) for row in rows(tmp_path / name)]
    assert losses["a"] == losses["b"]
    np.testing.assert_allclose(losses["c"], losses["a"], rtol=1e-9)


def test_options_reach_the_run(tmp_path, small_mnist, capsys):
    run = tmp_path / "run"
    options = ["--steps", "5", "--batch-size", "300", "--lr", "0.002", "--seed", "9"]
    options += ["--latent", "3", "--dtype", "float64", "--backend", "numpy", "--threads", "1"]
    assert main(["latent", *options, "--out", str(run), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{run}\n"
    config = json.loads((run / "config.json").read_text())
    assert config["optimizer"]["lr"] == 0.002
    assert (config["batch_size"], config["seed"], config["steps"]) == (300, 9, 5)
    assert minae.load(run, "numpy").code == 3
    assert minae.load(run, "numpy").parameters.dtype == np.float64
    # 1000 samples in batches of 300: the fifth step is the first of the second epoch
    assert [(row["epoch"], row["step"]) for row in rows(run)[::2]] == [("1", "4"), ("2", "5")]


def test_a_batch_of_more_samples_than_there_are(tmp_path, small_mnist, capsys):
    """All of them are taken, and that is said."""
    options = ["--batch-size", "5000", "--steps", "2", "--backend", "numpy", "--threads", "1"]
    assert main(["vanilla", *options, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("batches of 1,000, all images there are, instead of 5,000\n")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["batch_size"] == 1000
    assert [(row["epoch"], row["step"]) for row in rows(tmp_path / "run")[::2]] == [
        ("1", "1"),
        ("2", "2"),
    ]
    options[1] = "1000"
    assert main(["vanilla", *options, "--out", str(tmp_path / "same")]) == 0
    assert "instead of" not in capsys.readouterr().out
    assert rows(tmp_path / "same")[0]["loss"] == rows(tmp_path / "run")[0]["loss"]


def test_list_names_every_recipe(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [*recipes.RECIPES, *studies.STUDIES]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["vanila"],
            "unknown recipe 'vanila'; choose one of vae, vanilla, deep, tanh, latent, conv, cvae, ",
        ),
        (["vanila"], "super-resolution, or a study: latent-sweep, classifier, kernels, manifold\n"),
        (["kernels", "--factor", "2"], "trains several models and has no option --factor"),
        (["kernels", "--resume", "run"], "trains several models and has no option --resume"),
        (["--backend", "torch"], "argument --backend: invalid choice: 'torch'"),
        (["--backend", "cupy"], "backend 'cupy' cannot run here"),
        (["--epochs", "0"], "argument --epochs: 0 is not a whole number from 1 up"),
        (["--epochs", "two"], "'two' is not a whole number"),
        (["--epochs", "1", "--steps", "1"], "not allowed with argument"),
        (["--lr", "-1"], "'-1' is not a number greater than 0"),
        (["--lr", "nan"], "'nan' is not a number greater than 0"),
        (["--seed", "-1"], "-1 is not a whole number from 0"),
        (["--threads", "4096"], "4096 threads are more than the"),
        (["--latent", "0"], "0 is not a whole number from 1 to 4096"),
        (["vanilla", "--faithful"], "recipe 'vanilla' has no option --faithful; recipes"),
        (
            ["vae", "--samples", "5"],
            "recipe 'vae' has no option --samples; recipes that have it: iwae",
        ),
        (["--data", "no-such-folder"], "no-such-folder"),
        (["--out", "/dev/null/run"], "cannot write to /dev/null/run"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["vanilla", "--steps", "30", "--lr", "1e30"], "the loss became"),
    ],
)
def test_mistakes_get_one_sentence_and_leave_nothing(
    arguments, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    if "--backend" not in arguments:
        arguments = [*arguments, "--backend", "numpy"]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 or out  # a diverging run has printed lines of its own before
    assert err.splitlines()[-1].startswith("minae: ")
    assert sentence in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "kept.txt").write_text("kept")
    assert main(["vanilla", "--backend", "numpy", "--out", str(tmp_path)]) == 2
    assert "exists already; name another with --out or remove it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_damaged_data_file_is_named(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for part in ("train", "t10k"):
        (data / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03broken")
        (data / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01broken")
    assert main(["--backend", "numpy", "--data", str(data), "--out", str(tmp_path / "run")]) == 2
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_reader_that_goes_away_gets_no_traceback():
    command = [sys.executable, "-m", "minae.train", "--list"]
    root = Path(minae.__file__).parents[1]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


def test_what_must_be_shown_asks_for_opencv_before_it_trains(monkeypatch, capsys):
    monkeypatch.setattr(must_show, "find_spec", lambda name: None)
    monkeypatch.setattr(must_show, "trained", lambda *_: pytest.fail("it trains"))
    monkeypatch.setattr(sys, "argv", ["must_show", "--only", "repair"])
    with pytest.raises(SystemExit, match="2"):
        must_show.main()
    assert 'pip install "minae[cv]"' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "backend"),
    [(target, backend) for target in TARGETS for backend in target.backends],
    ids=str,
)
def test_figures_of_the_full_runs(target, backend):
    value, _ = reached(target, backend)
    assert target.low <= value <= target.high


@pytest.mark.slow
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_of_the_full_runs(comparison):
    if comparison.__name__ == "repair":
        pytest.importorskip("cv2")
    for finding in comparison("numba"):
        assert finding.low <= finding.value <= finding.high, finding
