"""The commands on small runs of every kind: what they write, what they say, how they fail."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import minae
from minae import __main__ as commands
from minae import command, compression, latent, score
from minae.ledger import ReconstructionLedger
from minae.train import main as train

RUNS = ("vanilla", "vae", "latent", "conv", "tanh", "cvae")
RUNS += ("denoising", "conv-denoising", "contractive", "pca", "tied", "sparse", "dropout", "iwae")
PNG = b"\x89PNG"


def write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Three kinds of blurred squares, 240 to train and 120 to test, in MNIST's file format."""
    folder = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    for part, count in (("train", 240), ("t10k", 120)):
        labels = np.arange(count) % 3
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            top, left = rng.integers(2, 12, 2)
            size = 5 + 4 * label
            image[top : top + size, left : left + size] = rng.integers(100, 256)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(scope="session")
def runs(data_folder, tmp_path_factory):
    """One run folder of each kind of model, trained for a few steps."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe in RUNS:
        options = ["--data", str(data_folder), "--steps", "40", "--backend", "numpy", "--quiet"]
        assert train([recipe, *options, "--threads", "1", "--out", str(folder / recipe)]) == 0
    return folder


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A folder of files that are not what their names promise."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "empty.csv").touch()
    (folder / "text.npy").write_text("no array\n")
    (folder / "cut.npz").write_bytes(b"PK\x03\x04 cut short")
    (folder / "narrow.csv").write_text("1,0,1\n0,1,0\n")
    np.save(folder / "none.npy", np.zeros((2, 784)))
    return folder


def minae_says(capsys, *arguments) -> tuple[int, str]:
    """Exit code and all output of `minae ARGUMENTS`."""
    capsys.readouterr()
    code = commands.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out + err


@pytest.mark.parametrize("recipe", RUNS)
def test_every_command_on_every_run(recipe, runs, tmp_path, capsys):
    run, label = runs / recipe, ["--label", "1"] if recipe == "cvae" else []
    model = minae.load(run, "numpy")
    test = command.Run(run).part("test")
    given = {"labels": test.labels} if recipe == "cvae" else {}

    def out(name):
        return ["--out", tmp_path / name]

    assert minae_says(capsys, "encode", run, *out("codes.npy"))[0] == 0
    codes = np.load(tmp_path / "codes.npy")
    np.testing.assert_array_equal(codes, model.encode(test.images, **given))

    assert minae_says(capsys, "encode", run, "--first", "7", *out("codes.csv"))[0] == 0
    # 7 samples in place of 120 make another matrix product, which rounds in another order
    found = np.loadtxt(tmp_path / "codes.csv", delimiter=",")
    np.testing.assert_allclose(found, codes[:7], rtol=1e-5, atol=1e-5)

    code, said = minae_says(capsys, "decode", run, "--codes", tmp_path / "codes.npy", *label,
                            *out("decoded.npy"))  # fmt: skip
    ones = {"labels": np.ones(120, np.int64)} if recipe == "cvae" else {}
    assert code == 0, said
    np.testing.assert_array_equal(np.load(tmp_path / "decoded.npy"), model.decode(codes, **ones))

    assert minae_says(capsys, "reconstruct", run, *out("y.npy"))[0] == 0
    y = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(y, model.reconstruct(test.images, **given))

    code, said = minae_says(capsys, "evaluate", run, *out("figures.json"))
    figures = json.loads((tmp_path / "figures.json").read_text())
    ledger = ReconstructionLedger()
    ledger.add(test.pixels, y)
    assert figures["mse_per_pixel"] == pytest.approx(ledger.figures()["mse_per_pixel"], rel=1e-5)
    assert f"{figures['mse_per_pixel']:.5f}" in said

    assert minae_says(capsys, "sample", run, "--count", "30", *label, *out("new.npy"))[0] == 0
    new = np.load(tmp_path / "new.npy")
    assert new.shape == (30, 784)
    if recipe != "pca":  # whose output is linear
        assert 0 <= new.min() < new.max() <= 1

    assert minae_says(capsys, "interpolate", run, "--index", "0", "3", "--steps", "5",
                      *out("strip.npy"))[0] == 0  # fmt: skip
    (strips,) = np.load(tmp_path / "strip.npy")
    assert strips.shape == (2, 5, 784)
    np.testing.assert_allclose(strips[1, [0, 4]], test.pixels[[0, 3]])
    np.testing.assert_allclose(strips[0, 0], y[0], atol=1e-5)

    for options in (["--axes", "1", "0"], ["--components", "2"], ["--concept", "2"]):
        code, said = minae_says(capsys, "traverse", run, *options, "--steps", "3", "--index", "0",
                                *out("walk.npy"))  # fmt: skip
        assert code == 0, said
        walk = np.load(tmp_path / "walk.npy")
        at = 0 if "--concept" in options else 1  # where the sample itself stands
        assert len(walk) == (1 if "--concept" in options else 2)
        np.testing.assert_allclose(walk[:, at], np.tile(y[0], (len(walk), 1)), atol=1e-5)

    own = ("own",) if hasattr(model, "damage") else ()
    for noise in (*own, "gaussian", "mask", "none"):
        code, said = minae_says(capsys, "denoise", run, "--noise", noise, *out("clean.npy"))
        assert (code, "PSNR" in said) == (0, noise != "none")
        assert np.load(tmp_path / "clean.npy").shape == (120, 784)
    np.testing.assert_allclose(np.load(tmp_path / "clean.npy"), y, atol=1e-5)

    code, said = minae_says(capsys, "neighbours", run, "-k", "2", "--among", "test", *out("n.npy"))
    assert code == 0
    numbers = np.load(tmp_path / "n.npy")
    distances = np.linalg.norm(codes[:8, None] - codes[numbers], axis=2)
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-6)

    code, said = minae_says(capsys, "inpaint", run, "--first", "4", "--mask", "square", "--share",
                            "0.1", *out("whole.npy"))  # fmt: skip
    assert code == 0, said
    assert "model, energy" in said
    assert np.mean(np.load(tmp_path / "whole.npy") == test.pixels[:4]) > 0.85

    code, said = minae_says(capsys, "score", run, "--normal", "0", "1", *out("scores.csv"))
    assert code == 0, said
    assert "AUROC 0." in said or "AUROC 1.0000" in said
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert rows[0] == "sample,label,score,above,carried by"
    assert len(rows) == 1 + 80  # 40 of the 80 normal samples set the threshold

    assert minae_says(capsys, "compress", run, *out("file.minae"))[0] == 0
    assert minae_says(capsys, "decompress", run, tmp_path / "file.minae", *out("back.npy"))[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), test.images)


@pytest.mark.parametrize("name", [n for n in commands.COMMANDS if n != "train"])
def test_pictures_are_the_default(name, runs, capsys, tmp_path):
    if name in ("encode", "compress", "decompress", "evaluate", "decode"):
        return
    code, said = minae_says(capsys, name, runs / "vae", "--out", tmp_path / "picture.png")
    assert code == 0, said
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def test_files_of_ones_own(runs, tmp_path, capsys):
    test = command.Run(runs / "vae").part("test")
    np.savez(tmp_path / "own.npz", images=test.images.reshape(-1, 28, 28), labels=test.labels)
    np.save(tmp_path / "own.npy", test.pixels)
    np.savetxt(tmp_path / "own.csv", test.pixels[:9], delimiter=",", header="a,b", comments="")
    for name, rows in (("own.npz", 120), ("own.npy", 120), ("own.csv", 9)):
        arguments = [runs / "vae", "--data", tmp_path / name, "--out", tmp_path / "codes.npy"]
        code, said = minae_says(capsys, "encode", *arguments)
        assert code == 0, said
        codes = np.load(tmp_path / "codes.npy")
        wanted = minae.load(runs / "vae", "numpy").encode(test.images[:rows])
        np.testing.assert_allclose(codes, wanted, atol=1e-5)
    # the labels of the .npz serve a model that is conditioned on them; the .npy has none
    assert minae_says(capsys, "reconstruct", runs / "cvae", "--data", tmp_path / "own.npz")[0] == 0
    code, said = minae_says(capsys, "reconstruct", runs / "cvae", "--data", tmp_path / "own.npy")
    assert (code, said) == (2, "minae: this model is conditioned on labels: give one a sample\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["encode", "{tmp}/none"], "no model at"),
        (["encode", "{vae}", "--index", "500"], "there is no image 500 among 120"),
        (["encode", "{vae}", "--out", "codes.txt"], "codes.txt is to end in .npy or .csv"),
        (
            ["encode", "{vae}", "--out", "/dev/null/codes.npy"],
            "cannot write /dev/null/codes.npy: /dev/null is no folder",
        ),
        (["encode", "{vae}", "--data", "no.npy"], "no.npy cannot be read"),
        (["encode", "{vae}", "--data", "{vae}/config.json"], "is to end in .npy, .npz or .csv"),
        (["encode", "{vae}", "--first", "0"], "0 is not a whole number from 1 up"),
        (["decode", "{vae}"], "one of the arguments --codes --code is required"),
        (["encode", "{vae}", "--data", "/nowhere"], "/nowhere cannot be read (No such file"),
        (["decode", "{vae}", "--code", *["nan"] * 20], "codes are finite numbers, found some that"),
        (["decode", "{vae}", "--code", "1", "2"], "this model decodes codes of shape (M, 20)"),
        (["decode", "{vae}", "--codes", "{vae}/model.safetensors"], "is to end in .npy, .npz"),
        (["sample", "{vae}", "--label", "1"], "takes no --label"),
        (["sample", "{cvae}"], "give --label 0 to 2"),
        (["sample", "{cvae}", "--label", "3"], "labels are 0 ... 2, found 3 ... 3"),
        (["interpolate", "{vae}", "--index", "1", "2", "3"], "samples are taken in pairs, found 3"),
        (["traverse", "{vae}", "--axes", "20"], "the code has 20 numbers: give --axes 0 to 19"),
        (["traverse", "{vae}", "--components", "21"], "give --components 1 to 20"),
        (["traverse", "{vae}", "--concept", "9"], "found 0 and 120"),
        (["traverse", "{vae}", "--without", "1"], "--without goes with --concept"),
        (["denoise", "{vae}", "--noise", "own"], "was trained without noise"),
        (["denoise", "{vae}", "--level", "2"], "2 is not a number between 0 and 1"),
        (["neighbours", "{vae}", "-k", "241"], "241 neighbours asked for, 1 to 240 wanted"),
        (["score", "{latent}", "--score", "elbo"], "has no ELBO in nats: take --score error"),
        (["score", "{vae}", "--index", "1"], "too few samples"),
        (["compress", "{vae}", "--bits", "17"], "17 is not a whole number from 1 to 16"),
        (["decompress", "{vae}", "{vae}/config.json"], "it does not begin with MINAEC01"),
        (["decompress", "{vae}", "{tmp}/no"], "cannot be read (No such file or directory)"),
        (["decode", "{vae}", "--codes", "{broken}/empty.csv"], "holds an array of shape (0, 1)"),
        (
            ["decode", "{vae}", "--codes", "{broken}/text.npy"],
            "cannot be read (This file contains pickled (object) data)\n",
        ),
        (["decode", "{vae}", "--codes", "{broken}/cut.npz"], "cannot be read (File is not a zip"),
        (["decode", "{vae}", "--codes", "{broken}"], "is to end in .npy, .npz or .csv\n"),
        (
            ["inpaint", "{vae}", "--first", "2", "--mask-file", "{broken}/narrow.csv"],
            "holds 2 masks of 3 pixels, wanted 2 of 784",
        ),
        (
            ["inpaint", "{vae}", "--first", "2", "--mask-file", "{broken}/none.npy"],
            "no sample loses anything",
        ),
        (["frobnicate"], "unknown command 'frobnicate'; choose one of train, "),
    ],
)
def test_mistakes_get_one_sentence(
    arguments, sentence, runs, broken, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    places = {"tmp": tmp_path, "broken": broken} | {name: runs / name for name in RUNS}
    code, said = minae_says(capsys, *(argument.format(**places) for argument in arguments))
    assert code == 2
    assert sentence in said
    assert said.startswith("minae: ")
    assert said.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_an_unharmed_image_counts_in_no_psnr(runs, tmp_path, capsys):
    masks = np.zeros((2, 784))
    masks[0] = 1
    np.save(tmp_path / "masks.npy", masks)
    arguments = ["--first", 2, "--mask-file", tmp_path / "masks.npy", "--out", tmp_path / "a.png"]
    code, said = minae_says(capsys, "inpaint", runs / "vae", *arguments)
    x = command.Run(runs / "vae").part("test").pixels[0]
    assert code == 0, said
    assert "(without 1 that lost nothing but zeros)" in said
    assert f"damaged         {-10 * np.log10(np.square(x).mean()):6.2f}" in said


def test_a_keyboard_interrupt_without_words_is_explained(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "Run", interrupted)
    assert minae_says(capsys, "reconstruct", "run") == (
        130,
        "minae: interrupted; nothing was written\n",
    )


def test_an_unfinished_run_is_named(tmp_path, capsys):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    code, said = minae_says(capsys, "encode", tmp_path)
    assert (code, "is unfinished; finish it with: " in said) == (2, True)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        commands.main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m minae.{name} ")


def test_the_console_script_and_the_list(capsys):
    root = Path(minae.__file__).parents[1]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"minae": "minae.__main__:main"}
    assert commands.main([]) == commands.main(["--help"]) == 0
    assert capsys.readouterr().out.count("\n  inpaint ") == 2


def test_as_processes(runs, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(minae.__file__).parents[1])}
    for start in (["minae.encode"], ["minae", "encode"]):
        out = tmp_path / f"{len(start)}.npy"
        command_line = [sys.executable, "-m", *start, str(runs / "vae"), "--out", str(out)]
        done = subprocess.run(command_line, env=environment, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert out.is_file()


# ------------------------------------------------------------------ arrays in, arrays out
def test_neighbours_are_the_nearest():
    rng = np.random.default_rng(0)
    codes, queries = rng.normal(size=(50, 3)), rng.normal(size=(7, 3))
    numbers, distances = latent.neighbours(codes, queries, 4)
    every = np.linalg.norm(queries[:, None] - codes, axis=2)
    np.testing.assert_array_equal(numbers, np.argsort(every, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :4])


def test_a_concept_is_the_way_between_two_means():
    codes = np.array([[0.0, 1], [2, 1], [5, 5], [7, 9]])
    member = [False, False, True, False]
    np.testing.assert_allclose(latent.concept(codes, member), np.array([5, 5]) - [3, 11 / 3])
    other = [True, True, False, False]
    np.testing.assert_allclose(latent.concept(codes, member, other), [4, 4])


def test_fitted_codes_have_the_moments_of_the_codes():
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + [1, 2, 3]
    drawn = latent.fitted_codes(codes, 40_000)
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), atol=0.15)


def test_elbo_terms_sum_to_the_loss(runs):
    """Less the floor, at the mean code; with log_var -> the model's own KL."""
    model = minae.load(runs / "vae", "numpy", np.float64)
    images = command.Run(runs / "vae").part("test").images[:50]
    terms = score.errors(model, images, kind="elbo")
    assert terms.shape == (50, 785)
    figures = model.evaluate(images)
    floor = figures["bce_per_pixel"] - figures["bce_floor_per_pixel"]
    assert terms[:, :784].sum() / 50 == pytest.approx(784 * floor, rel=1e-9)
    assert terms[:, 784].mean() == pytest.approx(figures["kl_nats"], rel=1e-9)


@pytest.mark.parametrize("recipe", ["vae", "cvae", "tanh"])
@pytest.mark.parametrize("image_shape", [None, (28, 28), (49, 16)])
@pytest.mark.parametrize("bits", [1, 8, 12])
def test_compression_loses_nothing(recipe, bits, image_shape, runs):
    model = minae.load(runs / recipe, "numpy", np.float64)
    images = np.random.default_rng(0).integers(0, 256, (30, 784), np.uint8)
    labels = np.arange(30) % 3
    file = compression.compress(model, images, labels, bits=bits, image_shape=image_shape)
    np.testing.assert_array_equal(compression.decompress(model, file), images)


def test_lossy_files_are_small_and_close_to_the_reconstruction(runs):
    model = minae.load(runs / "vae", "numpy", np.float64)
    images = command.Run(runs / "vae").part("test").images
    file = compression.compress(model, images, lossless=False)
    assert len(file) < 120 * 20 + 500  # 20 codes of a byte each
    back = compression.decompress(model, file)
    assert np.abs(back / 255 - model.reconstruct(images)).max() < 0.05
    coarse = compression.compress(model, images, lossless=False, bits=2)
    assert len(coarse) < len(file)
    y = 255 * model.reconstruct(images)
    coarse = compression.decompress(model, coarse)
    assert np.abs(coarse - y).mean() > 3 * np.abs(back - y).mean()


def test_a_well_predicted_set_takes_less_than_gzip(runs):
    model = minae.load(runs / "vae", "numpy", np.float64)
    images = np.round(255 * model.reconstruct(command.Run(runs / "vae").part("test").images))
    images = images.astype(np.uint8)
    file = compression.compress(model, images, bits=12)
    assert len(file) < 0.8 * compression.sizes(images, (28, 28))["gzip"]


def test_damaged_and_foreign_files_are_refused(runs):
    model = minae.load(runs / "vae", "numpy", np.float64)
    images = command.Run(runs / "vae").part("test").images[:5]
    file = compression.compress(model, images)
    for end in (9, 40, len(file) // 2, len(file) - 1):
        with pytest.raises(minae.MinaeError, match="is damaged"):
            compression.decompress(model, file[:end])
    flipped = bytearray(file)
    flipped[-20] ^= 255
    with pytest.raises(minae.MinaeError, match="damaged"):
        compression.decompress(model, bytes(flipped))
    with pytest.raises(minae.MinaeError, match="written with another model"):
        compression.decompress(minae.load(runs / "vanilla", "numpy", np.float64), file)
    with pytest.raises(minae.MinaeError, match="take lossy"):
        compression.compress(model, images / 255)
