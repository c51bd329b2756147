"""A run that is interrupted and resumed ends as one that never stopped, bit for bit."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import minae
from minae import checkpoint, recipes
from minae import train as command
from minae.datasets import images as image_files
from minae.errors import MinaeError
from minae.files import whole_file
from minae.layers import BatchNorm1d, Dense, Dropout, Sequential
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import SGD, Adam, RMSprop, StepDecay
from minae.recipes import Recipe
from minae.run import CHECKPOINT
from minae.train import main
from minae.training import Training

TIMES = ("seconds", "samples_per_second")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """One core, and the first 300 images: batches of 100 and of 60 (five an epoch, three kinds)."""
    monkeypatch.setattr("minae.threads.cores", lambda: 1)
    data = image_files.load_images()
    cut = replace(
        data,
        train_images=data.train_images[:300],
        train_labels=data.train_labels[:300],
        test_images=data.test_images[:50],
        test_labels=data.test_labels[:50],
    )
    monkeypatch.setattr("minae.train.load_images", lambda folder=None: cut)
    monkeypatch.setattr("minae.train.write_figures", lambda folder, *rest: folder.mkdir())


def interrupt_at(monkeypatch, step, *, times=1, number=signal.SIGINT):
    """The signal arrives `times` times in the middle of this step."""
    right = Training.step

    def interrupted(training):
        cache = right(training)
        if training.optimizer.steps_done == step:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return cache

    monkeypatch.setattr(Training, "step", interrupted)


def rows(run: Path):
    """metrics.csv without the times, as text."""
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def same_run(first: Path, second: Path):
    weights = [load_file(run / "model.safetensors") for run in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    for name, values in weights[0].items():
        assert values.tobytes() == weights[1][name].tobytes(), name
    assert rows(first) == rows(second)
    a, b = (json.loads((run / "summary.json").read_text()) for run in (first, second))
    assert (a["train"], a["test"], a["steps"]) == (b["train"], b["test"], b["steps"])
    assert not (second / CHECKPOINT).exists()


def demanding() -> Recipe:
    """Batch normalization, dropout, momentum of the statistics, clipping and a schedule."""
    model = Autoencoder(
        (784,),
        Sequential(Dense(784, 12, activation="relu"), BatchNorm1d(12), Dropout(0.3)),
        Dense(12, 784, activation="sigmoid"),
        MSE(),
    )
    optimizer = Adam(lr=1e-2, schedule=StepDecay(4, 0.5), max_norm=0.1)
    return Recipe(model, optimizer, batch_size=80)  # 80, 80, 80, 60


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("step", [1, 3, 4, 6, 8, 11])
def test_resumed_run_is_the_uninterrupted_one(step, backend, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "make", lambda name, **wanted: demanding())
    options = ["deep", "--backend", backend, "--steps", "11", "--threads", "1", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    sentence = f"minae: interrupted; {tmp_path}/run is saved at step {step}, "
    sentence += f"go on with: python -m minae.train --resume {tmp_path}/run\n"
    assert capsys.readouterr().err == sentence
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {CHECKPOINT, "config.json", "metrics.csv"}
    assert main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("recipe", recipes.image_recipes())
def test_every_recipe_resumes(recipe, tmp_path, monkeypatch):
    options = [recipe, "--backend", "numpy", "--steps", "5", "--batch-size", "120", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, number=signal.SIGTERM)
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    assert main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), RMSprop(1e-3)])
def test_every_optimizer_resumes(optimizer, tmp_path, monkeypatch):
    def make(name, **wanted):
        return replace(demanding(), optimizer=replace(optimizer))

    monkeypatch.setattr(recipes, "make", make)
    options = ["deep", "--backend", "numpy", "--steps", "7", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    assert main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    same_run(tmp_path / "whole", tmp_path / "run")


def test_interrupted_again_and_again(tmp_path, monkeypatch):
    options = ["vae", "--backend", "numpy", "--steps", "9", "--batch-size", "70", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    arguments = [*options, "--out", str(tmp_path / "run")]
    for step in (2, 3, 7, 9):
        with monkeypatch.context() as patch:
            interrupt_at(patch, step)
            assert main(arguments) == 130
        arguments = ["--resume", str(tmp_path / "run"), "--quiet"]
    assert main(arguments) == 0
    same_run(tmp_path / "whole", tmp_path / "run")


def test_the_second_signal_stops_at_once_and_the_last_checkpoint_serves(
    tmp_path, monkeypatch, capsys
):
    options = ["vanilla", "--backend", "numpy", "--steps", "6", "--batch-size", "70", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4, times=2)
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    assert "is saved at step 0, go on with" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    same_run(tmp_path / "whole", tmp_path / "run")


def test_an_interrupt_while_the_results_are_written(tmp_path, monkeypatch, capsys):
    options = ["vanilla", "--backend", "numpy", "--steps", "3", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0

    def stopped(*arguments):
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("minae.train.save", stopped)
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    assert "is saved at step 3" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    same_run(tmp_path / "whole", tmp_path / "run")


def test_an_interrupt_as_the_checkpoint_goes_leaves_the_finished_run(tmp_path, monkeypatch, capsys):
    options = ["vanilla", "--backend", "numpy", "--steps", "3", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    right = Path.unlink

    def unlink(path, **options):
        right(path, **options)
        if path.name == CHECKPOINT:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err == f"minae: interrupted; {tmp_path}/run is finished\n"
    same_run(tmp_path / "whole", tmp_path / "run")


def test_checkpoints_between(tmp_path, monkeypatch):
    """With one after every step, a process killed in the middle loses one step at most."""
    monkeypatch.setattr(command, "CHECKPOINT_EVERY", 0.0)
    right, seen = Training.step, []

    def killed(training):
        if training.optimizer.steps_done == 4:
            raise RuntimeError("killed")
        if training.optimizer.steps_done:
            seen.append(checkpoint.read(tmp_path / "run")[0].counts.step)
        return right(training)

    options = ["vanilla", "--backend", "numpy", "--steps", "6", "--quiet"]
    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(RuntimeError):
        main([*options, "--out", str(tmp_path / "run")])
    assert seen == [1, 2, 3]
    assert checkpoint.read(tmp_path / "run")[0].counts.step == 4


@pytest.fixture
def unfinished(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        options = ["vanilla", "--backend", "numpy", "--seed", "5", "--steps", "4", "--quiet"]
        assert main([*options, "--out", str(tmp_path / "run")]) == 130
    capsys.readouterr()
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["deep"], "goes on with recipe as {run} began, vanilla; found deep"),
        (["--seed", "6"], "goes on with --seed as {run} began, 5; found 6"),
        (["--epochs", "3"], "goes on with --epochs as {run} began, its own value; found 3"),
        (["--backend", "numba"], "goes on with --backend as {run} began, numpy; found numba"),
        (["--dtype", "float64"], "goes on with --dtype as {run} began, float32; found float64"),
        (["--seed", "0"], "goes on with --seed as {run} began, 5; found 0"),
        (["--data", "/tmp"], "goes on with --data as {run} began, its own value; found /tmp"),
        (["--out", "/tmp/other"], "goes on with --out as {run} began"),
    ],
)
def test_contradictions_are_refused(options, sentence, unfinished, capsys):
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    assert main(["--resume", str(unfinished), *options]) == 2
    assert sentence.format(run=unfinished) in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in unfinished.iterdir()} == before


def test_a_default_may_contradict(tmp_path, monkeypatch, capsys):
    """What is the default is not taken for what was left out."""
    run = tmp_path / "run"
    options = ["vanilla", "--backend", "numpy", "--dtype", "float64", "--steps", "4", "--quiet"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert main([*options, "--out", str(run)]) == 130
    for given, sentence in (
        (["--dtype", "float32"], f"goes on with --dtype as {run} began, float64; found float32"),
        (["vae"], f"goes on with recipe as {run} began, vanilla; found vae"),
    ):
        assert main(["--resume", str(run), *given]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["--resume", str(run), "--backend", "auto", "--quiet"]) == 0
    assert json.loads((run / "summary.json").read_text())["dtype"] == "float64"


def test_what_agrees_is_not_refused(unfinished):
    agreeing = ["vanilla", "--backend", "numpy", "--seed", "5", "--steps", "4", "--quiet"]
    assert main(["--resume", str(unfinished), *agreeing]) == 0


@pytest.mark.parametrize("part", ["train_images", "train_labels", "test_images", "test_labels"])
def test_other_data_are_refused(part, unfinished, monkeypatch, capsys):
    data = command.load_images()
    other = replace(data, **{part: getattr(data, part)[::-1]})
    monkeypatch.setattr("minae.train.load_images", lambda folder=None: other)
    assert main(["--resume", str(unfinished)]) == 2
    assert "cannot go on as it began: data_crc32 changed" in capsys.readouterr().err


def test_the_checkpoint_of_another_run_is_refused(unfinished, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        options = ["vanilla", "--backend", "numpy", "--seed", "6", "--steps", "4", "--quiet"]
        assert main([*options, "--out", str(tmp_path / "other")]) == 130
    capsys.readouterr()
    shutil.copy(tmp_path / "other" / CHECKPOINT, unfinished / CHECKPOINT)
    assert main(["--resume", str(unfinished)]) == 2
    assert "checkpoint.safetensors is that of another run, or" in capsys.readouterr().err


def test_a_run_of_another_version_is_refused(unfinished, monkeypatch, capsys):
    """Whose config.json does not know an option that there is now."""
    newer = command.parser()
    newer.add_argument("--something")
    monkeypatch.setattr(command, "parser", lambda: newer)
    assert main(["--resume", str(unfinished)]) == 2
    assert "was begun by a minae without something: train anew" in capsys.readouterr().err


def test_folders_without_an_unfinished_run(tmp_path, unfinished, capsys):
    assert main(["--resume", str(tmp_path)]) == 2
    assert "is not the folder of an unfinished run" in capsys.readouterr().err
    with pytest.raises(MinaeError, match="is unfinished; finish it with"):
        minae.load(unfinished)
    assert main(["vanilla", "--out", str(unfinished)]) == 2
    assert "or go on with --resume" in capsys.readouterr().err
    assert main(["--resume", str(unfinished), "--quiet"]) == 0
    assert main(["--resume", str(unfinished)]) == 2
    assert "is finished: there is nothing to go on with" in capsys.readouterr().err


@pytest.mark.parametrize("name", [CHECKPOINT, "config.json"])
def test_a_damaged_file_is_refused(name, unfinished, capsys):
    (unfinished / name).write_bytes((unfinished / name).read_bytes()[:50])
    assert main(["--resume", str(unfinished)]) == 2
    assert "cannot be read back" in capsys.readouterr().err


def test_a_state_replaces_what_was_done_before_it():
    """Sums of the epoch too; and that of another model is refused before anything is written."""
    images = np.random.default_rng(0).uniform(size=(50, 784))

    def training(hidden=12, dtype=np.float64):
        model = Autoencoder((784,), Dense(784, hidden), Dense(hidden, 784), MSE())
        return Training(model.bind("numpy", dtype), Adam(), images, batch_size=20)

    first = training()
    first.step()
    state = first.state()
    first.step(), first.step()
    wanted = first.averages()
    for steps in (0, 2, 4):
        other = training()
        for _ in range(steps):
            other.step()
        other.restore(*state)
        other.step(), other.step()
        assert other.averages() == wanted
    for other in (training(hidden=13), training(dtype=np.float32)):
        before = other.state()[0]
        with pytest.raises(MinaeError, match=r"that of another model or optimizer: optimizer\.m, "):
            other.restore(*state)
        for name, values in other.state()[0].items():
            np.testing.assert_array_equal(values, before[name])


def test_a_whole_file_or_none(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("hal")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"
    with whole_file(path) as partial:
        partial.write_text("after")
    assert path.read_text() == "after"


def test_signals_are_given_back(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    options = ["vanilla", "--backend", "numpy", "--steps", "1", "--quiet"]
    assert main([*options, "--out", str(tmp_path / "run")]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process(number, tmp_path):
    """A signal from outside: exit code 130, one sentence, and the run goes on where it stopped."""
    command = [sys.executable, "-m", "minae.train"]
    environment = os.environ | {"PYTHONPATH": str(Path(minae.__file__).parents[1])}
    options = ["vanilla", "--backend", "numpy", "--epochs", "10000", "--threads", "1"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with Ctrl-C ignored, and what they start inherits that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for _ in range(600):  # until the first checkpoint is there
            if [*tmp_path.glob(f"runs/*/{CHECKPOINT}")]:
                break
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    (run,) = (tmp_path / "runs").iterdir()
    found = checkpoint.read(run)[0]
    assert found.counts.step > 0
    assert err == (
        f"minae: interrupted; runs/{run.name} is saved at step {found.counts.step:,}, "
        f"go on with: python -m minae.train --resume runs/{run.name}\n"
    )
    assert not [*run.glob(".*")]
    assert all(np.isfinite(values).all() for values in found.arrays.values())
