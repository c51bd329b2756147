"""Initial values: their distribution, their fans, and that they depend on the seed alone."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.init import _calculate_fan_in_and_fan_out as torch_fans

from minae.backends import get_backend
from minae.init import Draw, He, Normal, Ones, PyTorchDefault, Xavier, Zeros
from minae.layers import (
    BatchNorm2d,
    ConditionalConv2d,
    ConditionalDense,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Sequential,
)
from minae.parameters import Parameters
from tests.examples import BACKENDS

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def initial(layer, backend="numpy", dtype="float64", seed=0):
    """Host values of a layer's arrays by path."""
    return Parameters({"layer": layer}, get_backend(backend), dtype, seed).to_numpy()


# ------------------------------------------------------------------ distributions
ROWS, COLUMNS, FAN_OUT = 400, 200, 400

DISTRIBUTIONS = {
    "PyTorchDefault": (PyTorchDefault(), stats.uniform(-1 / sqrt(200), 2 / sqrt(200))),
    "Xavier": (Xavier(), stats.uniform(-sqrt(6 / 600), 2 * sqrt(6 / 600))),
    "He": (He(), stats.norm(scale=sqrt(2 / 200))),
    "Normal": (Normal(0.3), stats.norm(scale=0.3)),
}


@every_backend
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name, backend):
    """80 000 numbers: bounds, four standard errors of mean and variance, Kolmogorov-Smirnov."""
    init, wanted = DISTRIBUTIONS[name]
    w = initial(Dense(COLUMNS, ROWS, init=init), backend)["layer.w"]
    low, high = wanted.support()
    assert low <= w.min() < w.max() <= high
    if high < np.inf:
        assert w.max() - w.min() > 0.9999 * (high - low)
    mean, variance, kurtosis = wanted.stats("mvk")
    assert abs(w.mean() - mean) < 4 * sqrt(variance / w.size)
    assert abs(w.var() / variance - 1) < 4 * sqrt((kurtosis + 2) / w.size)
    assert stats.kstest(w.ravel(), wanted.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(w[:, 0::2].ravel(), w[:, 1::2].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(w[0::2].ravel(), w[1::2].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (PyTorchDefault(), lambda w: torch.nn.init.kaiming_uniform_(w, a=sqrt(5))),
        (Xavier(), torch.nn.init.xavier_uniform_),
        (He(), lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (Normal(0.3), lambda w: torch.nn.init.normal_(w, std=0.3)),
    ],
)
def test_spread_is_that_of_torch(ours, torchs):
    """On a convolution, so that the fans count too."""
    w = initial(Conv2d(16, 48, (5, 3), init=ours))["layer.w"]
    torch.manual_seed(0)
    wanted = torchs(torch.empty(w.shape))
    assert w.std() == pytest.approx(wanted.std().item(), rel=0.03)
    if ours in (PyTorchDefault(), Xavier()):
        assert np.abs(w).max() == pytest.approx(wanted.abs().max().item(), rel=0.01)


@every_backend
def test_zeros_and_ones(backend):
    found = initial(
        Sequential(BatchNorm2d(5), Dense(3, 4, bias_init=Zeros(), init=Ones())), backend
    )
    wanted = {
        "layer.0.gamma": np.ones(5),
        "layer.0.beta": np.zeros(5),
        "layer.0.running_mean": np.zeros(5),
        "layer.0.running_var": np.ones(5),
        "layer.1.w": np.ones((4, 3)),
        "layer.1.b": np.zeros(4),
    }
    assert found.keys() == wanted.keys()
    for path, values in wanted.items():
        np.testing.assert_array_equal(found[path], values)


# ------------------------------------------------------------------ fans
@dataclass(frozen=True)
class Fans:
    """An initializer that shows what it is given: fan_in + fan_out / 1024."""

    def __call__(self, draw, fan_in, fan_out):
        return np.full((draw.rows, draw.columns), fan_in + fan_out / 1024)


@pytest.mark.parametrize(
    ("layer", "judge"),
    [
        (Dense(7, 5, init=Fans(), bias_init=Fans()), torch.nn.Linear(7, 5)),
        (
            Conv2d(6, 4, (3, 2), groups=2, init=Fans(), bias_init=Fans()),
            torch.nn.Conv2d(6, 4, (3, 2), groups=2),
        ),
        (Conv1d(6, 4, 3, init=Fans(), bias_init=Fans()), torch.nn.Conv1d(6, 4, 3)),
        (
            ConvTranspose2d(6, 4, (3, 2), groups=2, init=Fans(), bias_init=Fans()),
            torch.nn.ConvTranspose2d(6, 4, (3, 2), groups=2),
        ),
        (
            ConvTranspose1d(6, 4, 3, init=Fans(), bias_init=Fans()),
            torch.nn.ConvTranspose1d(6, 4, 3),
        ),
        (  # [x; one-hot] and the label planes count as inputs
            ConditionalDense(7, 5, init=Fans(), bias_init=Fans(), classes=3),
            torch.nn.Linear(7 + 3, 5),
        ),
        (
            ConditionalConv2d(2, 4, (3, 2), init=Fans(), bias_init=Fans(), classes=3),
            torch.nn.Conv2d(2 + 3, 4, (3, 2)),
        ),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, torch.nn.Module) else None,
)
def test_fans_are_those_of_torch(layer, judge):
    fan_in, fan_out = torch_fans(judge.weight)
    for path, values in initial(layer).items():
        np.testing.assert_array_equal(values, fan_in + fan_out / 1024, err_msg=path)


@pytest.mark.parametrize(
    ("layer", "judge"),
    [
        (Dense(64, 5000), torch.nn.Linear(64, 5000)),
        (Conv2d(6, 5000, 3, groups=2), torch.nn.Conv2d(6, 5000, 3, groups=2)),
        (ConvTranspose2d(8, 5000, 1, groups=2), torch.nn.ConvTranspose2d(8, 5000, 1, groups=2)),
    ],
)
def test_bounds_of_the_default_are_those_of_torch_modules(layer, judge):
    found = initial(layer)
    for name, wanted in (("w", judge.weight), ("b", judge.bias)):
        bound = np.abs(found[f"layer.{name}"]).max()
        assert bound == pytest.approx(wanted.detach().abs().max().item(), rel=2e-3)


# ------------------------------------------------------------------ same seed, same values
def layers():
    return Sequential(
        Conv2d(2, 3, 3),
        Dense(7, 5, init=Normal(0.1), bias_init=Normal(0.1)),
        Dense(5, 33, init=He(), bias_init=Xavier()),
    )


def test_every_backend_draws_the_same():
    numpy, numba = (initial(layers(), backend, seed=2**63 + 5) for backend in ("numpy", "numba"))
    for path in numpy:
        if path in ("layer.0.w", "layer.0.b", "layer.2.b"):  # uniform
            np.testing.assert_array_equal(numpy[path], numba[path], err_msg=path)
        else:  # normal: some units in the last place of the angle, 2πu
            np.testing.assert_allclose(
                numpy[path], numba[path], rtol=1e-14, atol=1e-15, err_msg=path
            )


@every_backend
def test_float32_is_float64_rounded(backend):
    double, single = (initial(layers(), backend, dtype) for dtype in ("float64", "float32"))
    for path in double:
        np.testing.assert_array_equal(single[path], double[path].astype(np.float32), err_msg=path)


@every_backend
def test_seeds_differ_and_repeat(backend):
    first, again, other = (initial(layers(), backend, seed=seed) for seed in (1, 1, 2))
    for path in first:
        np.testing.assert_array_equal(first[path], again[path], err_msg=path)
        assert not np.isclose(first[path], other[path]).any(), path


@every_backend
def test_order_of_evaluation_does_not_matter(backend):
    """Parameter 4 drawn alone, first, or with fewer rows or columns, is what it is in a network."""
    wanted = initial(layers(), backend)["layer.2.w"]  # (33, 5), parameter number 4
    for rows, columns in ((33, 5), (10, 5), (33, 4)):
        alone = He()(Draw(0, 4, rows, columns), 5, 33)
        np.testing.assert_allclose(alone, wanted[:rows, :columns], rtol=1e-15)
    others = [He()(Draw(0, number, 33, 5), 5, 33) for number in range(4)]
    assert not np.isclose(others, wanted).any()


@every_backend
def test_constant_initializers_do_not_shift_the_others(backend):
    """An array's values depend on its place in the network, not on what the arrays before drew."""
    plain, changed = (
        Sequential(Dense(3, 4), Dense(4, 2)),
        Sequential(Dense(3, 4, init=Zeros()), Dense(4, 2)),
    )
    np.testing.assert_array_equal(
        initial(plain, backend)["layer.1.w"], initial(changed, backend)["layer.1.w"]
    )
