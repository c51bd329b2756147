"""bench.reproduce: figures are judged and shown as they were computed, every experiment runs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import experiments, iwae, reproduce, results
from bench.reproduce import EXPERIMENTS, main
from bench.results import Experiment, Figure, merged, ours, page
from minae.datasets import load_images


@pytest.mark.parametrize(
    ("printed", "better", "value", "gap"),
    [
        ("0.50", "lower", 0.5, 0.0),
        ("0.50", "lower", 0.6, 0.2),
        ("0.50", "lower", 0.1, 0.0),
        ("0.40–0.50", "lower", 0.48, 0.0),
        ("0.40–0.50", "lower", 0.55, 0.1),
        ("95", "higher", 96.0, 0.0),
        ("95", "higher", 85.5, 0.1),
        ("0.00", "higher", -0.3, 0.3),
        ("10", "same", 10.4, 0.0),
        ("10", "same", 11.0, 0.1),
        ("10", "same", 9.0, 0.1),
    ],
)
def test_how_far_a_figure_falls_short(printed, better, value, gap):
    assert Figure("key", "what", printed, "source", better).gap(value) == pytest.approx(gap)


def test_ours_to_the_decimals_printed():
    assert Figure("key", "what", "0.0927–0.0948", "source").decimals == 4
    assert Figure("key", "what", "104–110", "source").decimals == 1
    assert ours([0.09413], 4) == "0.0941"
    assert ours([1.0, 2.0, 3.0], 2) == "2.00 ± 1.00"


def entry(name="one", backend="numpy", quick=False, **values):
    found = {"name": name, "backend": backend, "quick": quick, "seeds": [0], "values": values}
    return found | {"seconds": 2.0, "device": "here", "threads": 1, "versions": {"minae": "0"}}


def test_a_quick_pass_does_not_replace_a_full_one():
    full, quick = entry(loss=[1.0]), entry(quick=True, loss=[2.0])
    assert merged([full], quick) == [full]
    assert merged([quick], full) == [full]
    other = entry(backend="numba", loss=[3.0])
    assert merged([full, other], entry(loss=[4.0])) == [other, entry(loss=[4.0])]


def test_the_page():
    figures = (
        Figure("loss", "the loss", "0.50", "paper"),
        Figure("rest", "the rest", "1", "paper"),
    )
    known = [
        Experiment("one", "by hand", None, figures, cause="too few steps"),
        Experiment("two", "not at all", None, figures),
    ]
    text = page(known, [entry(loss=[0.6], rest=[0.9])], "command")
    assert "| one | the loss | paper | 0.50 | 0.60 | 20.0% short | 0 | 2 | numpy |" in text
    assert "| one | the rest | paper | 1 | 0.9 | reached | 0 | 2 | numpy |" in text
    assert "- **one, numpy**: the loss (0.60, printed 0.50). Likely cause: too few steps." in text
    assert "Not run yet: two." in text
    text = page(known, [entry(quick=True, loss=[0.6])], "command")
    assert "numpy (quick)" in text and "cuts long trainings short" in text
    assert "Nothing of what was run." in page(known, [entry(loss=[0.4])], "command")


def test_names_are_unique_and_figures_have_a_key_of_their_own():
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len({*names}) == len(names)
    for experiment in EXPERIMENTS:
        keys = [figure.key for figure in experiment.figures]
        assert len({*keys}) == len(keys)
        assert all(figure.better in ("lower", "higher", "same") for figure in experiment.figures)


@pytest.fixture
def small(monkeypatch):
    """600 images to train on and 60 to test with; two steps a training."""
    data = load_images()
    cut = replace(
        data,
        train_images=data.train_images[:600],
        train_labels=data.train_labels[:600],
        test_images=data.test_images[:60],
        test_labels=data.test_labels[:60],
    )
    monkeypatch.setattr(experiments, "QUICK", 2)
    monkeypatch.setattr(experiments, "LAST", 2)
    monkeypatch.setattr(iwae, "load_images", lambda: cut)
    right = iwae.ImportanceWeightedAutoencoder.nll
    monkeypatch.setattr(
        iwae.ImportanceWeightedAutoencoder, "nll", lambda model, images: right(model, images, 20)
    )
    monkeypatch.setattr(experiments, "TREES", 20)
    return cut


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_every_experiment_gives_the_figures_of_its_row(experiment, small):
    if experiment.name == "inpainting":
        pytest.importorskip("cv2")
    setting = experiments.Setting("numpy", 1, True, small)
    values = experiment.compute(setting)
    late = {f"step {step}" for step in experiments.DEEP_STEPS if step >= experiments.QUICK}
    assert {*values} == {figure.key for figure in experiment.figures} - late
    assert all(np.isfinite(value) for value in values.values())


def test_the_command(tmp_path, monkeypatch, capsys):
    drawn = []

    def compute(setting):
        drawn.append((setting.backend, setting.seed, setting.quick))
        return {"loss": 0.1 * setting.seed}

    figure = Figure("loss", "the loss", "0.50", "paper")
    rows = tuple(Experiment(n, "so", compute, (figure,), (4, 5, 9)) for n in ("M1", "M14"))
    monkeypatch.setattr(reproduce, "EXPERIMENTS", rows)
    kept, out = tmp_path / "kept.json", tmp_path / "RESULTS.md"
    options = ["--json", str(kept), "--out", str(out), "--backend", "numpy", "--threads", "1"]
    assert main([*options, "--only", "M1"]) == 0
    assert drawn == [("numpy", 4, False), ("numpy", 5, False), ("numpy", 9, False)]
    assert (
        "| M1 | the loss | paper | 0.50 | 0.60 ± 0.26 | 20.0% short | 4, 5, 9 |" in out.read_text()
    )
    assert main([*options, "--only", "14", "--quick"]) == 0
    assert drawn[3:] == [("numpy", 4, True)]
    assert [e["name"] for e in json.loads(kept.read_text())] == ["M1", "M14"]
    text = out.read_text()
    assert "| M1 |" in text and "| M14 |" in text
    out.unlink()
    assert main([*options, "--render"]) == 0
    assert out.read_text() == text and len(drawn) == 4
    assert main([*options, "--only", "M2"]) == 2
    assert "no experiment is called 'M2'; choose among M1, M14" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["RESULTS.md", "kept.json"]


def test_the_page_in_the_repository_is_the_one_of_its_results():
    """No number in RESULTS.md is typed: run `python -m bench.reproduce --render` after a change."""
    root, defaults = reproduce.ROOT, reproduce.parser().parse_args([])
    assert (root / "RESULTS.md").read_text() == reproduce.page(results.load(defaults.json))


def test_results_of_our_own_are_computed(small):
    """Two seeds give two values; the same seed the same."""
    compute = {e.name: e.compute for e in EXPERIMENTS}["M1"]
    first, again, other = (
        compute(experiments.Setting("numpy", seed, True, small))["test"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_merged_results_are_read_back(tmp_path):
    path = tmp_path / "kept.json"
    assert results.load(path) == []
    results.save(path, [entry(loss=[1.0])])
    assert results.load(path) == [entry(loss=[1.0])]
