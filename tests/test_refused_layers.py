"""What layers refuse, and how they say it."""

import numpy as np
import pytest

from minae import MinaeError, get_backend
from minae.layers import (
    Activation,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    ConditionalConv2d,
    ConditionalDense,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    MaskingNoise,
    MaxPool2d,
    Reshape,
    Sequential,
    Upsample2d,
)
from minae.parameters import Parameters
from tests.comparison_of_layers import every_example
from tests.examples import EXAMPLES, bind, classes_of, new_batch

REFUSED = [
    (lambda: Dense(3, 2, activation="swish"), r"'swish'; choose one of identity, relu"),
    (lambda: Activation("gelu"), r"'gelu'; choose one of"),
    (lambda: Activation("elu", -1.0), r"slope of elu .* found -1.0"),
    (lambda: Conv2d(4, 6, 3, groups=3), r"groups=3 for 4 and 6"),
    (lambda: Conv2d(4, 6, 3, groups=0), r"groups=0"),
    (lambda: Conv2d(4, 6, (3, 0)), r"kernel_size must be >= 1, found \(3, 0\)"),
    (lambda: Conv1d(4, 6, 3, stride=0), r"stride must be >= 1, found"),
    (lambda: ConvTranspose2d(4, 6, 3, padding=-1), r"padding must be >= 0, found"),
    (lambda: Conv2d(4, 6, 3, dilation=0), r"dilation must be >= 1, found"),
    (lambda: ConvTranspose2d(4, 6, 3, stride=2, output_padding=2), r"found 2 with stride 2"),
    (lambda: ConvTranspose1d(4, 6, 3, output_padding=1), r"found 1 with stride 1"),
    (lambda: ConditionalConv2d(1, 2, 3, padding=1), r"found padding=1, groups=1"),
    (lambda: ConditionalConv2d(2, 2, 3, groups=2), r"found padding=0, groups=2"),
    (lambda: MaxPool2d(3, padding=2), r"kernel 3, stride 3, padding 2"),
    (lambda: AvgPool2d(2, stride=0), r"kernel 2, stride 0, padding 0"),
    (lambda: Upsample2d(0), r"scale must be >= 1, found 0"),
    (lambda: Dropout(1.0), r"p must be in \[0, 1\), found 1.0"),
]
MISFITS = [
    (Dense(3, 2), (4, 5), r"\(N, 3\), found \(4, 5\)"),
    (Dense(3, 2), (4, 3, 1), r"\(N, 3\), found \(4, 3, 1\)"),
    (Conv2d(3, 2, 3), (4, 2, 8, 8), r"\(N, 3, H, W\), found \(4, 2, 8, 8\)"),
    (Conv2d(3, 2, 5), (4, 3, 8, 4), r"input of 8x4 .* kernel \(5, 5\)"),
    (Conv1d(3, 2, 3), (4, 2, 8), r"Conv1d.*\(N, 3, W\), found \(4, 2, 8\)"),
    (Conv1d(3, 2, 3), (4, 3, 1, 8), r"\(N, 3, W\), found \(4, 3, 1, 8\)"),
    (ConvTranspose2d(3, 2, 1, padding=1), (4, 3, 2, 2), r"output of 0x0"),
    (BatchNorm1d(3), (4, 3, 2, 2), r"\(N, C\) or \(N, C, W\) with C = 3, found \(4, 3, 2, 2\)"),
    (BatchNorm2d(3), (4, 2, 2, 2), r"\(N, C, H, W\) with C = 3, found \(4, 2, 2, 2\)"),
    (MaxPool2d(3), (4, 2, 2, 5), r"kernel \(3, 3\) is larger than the input \(2, 5\)"),
    (AvgPool2d(3), (4, 9), r"\(N, C, H, W\), found \(4, 9\)"),
    (Upsample2d(2), (4, 9), r"\(N, C, H, W\), found \(4, 9\)"),
    (Reshape((2, 3)), (4, 5), r"Reshape\(2, 3\) holds 6 numbers .* has 5"),
    (Sequential(Dense(3, 2), Dense(3, 2)), (4, 3), r"\(N, 3\), found \(4, 2\)"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refused_when_made(make, message):
    with pytest.raises(MinaeError, match=message):
        make()


@pytest.mark.parametrize(("layer", "x_shape", "message"), MISFITS)
def test_refused_input(layer, x_shape, message):
    with pytest.raises(MinaeError, match=message):
        layer.output_shape(x_shape)


@every_example
def test_refused_when_run(name):
    """Arrays whose shape or dtype is not that of the cache."""
    make, x_shape = EXAMPLES[name]
    layer = make()
    parameters = bind(layer, "numpy", "float64")
    cache = layer.new_cache(x_shape, new_batch(parameters, x_shape[0], classes_of(layer)))
    more = (x_shape[0] + 1, *x_shape[1:])
    with pytest.raises(MinaeError, match=r"x has shape .* but the cache was made for"):
        layer.forward(np.zeros(more), cache)
    with pytest.raises(MinaeError, match=r"x has dtype float32, .* float64"):
        layer.forward(np.zeros(x_shape, np.float32), cache)
    layer.forward(np.random.default_rng(0).normal(size=x_shape), cache)
    with pytest.raises(MinaeError, match=r"dy has shape .* but the cache was made for"):
        layer.backward(np.zeros((*cache.y_shape, 1)), cache)
    with pytest.raises(MinaeError, match=r"dy has dtype float32, .* float64"):
        layer.backward(np.zeros(cache.y_shape, np.float32), cache)


def test_labels_are_asked_for():
    for layer, x_shape in (
        (ConditionalDense(2, 3, classes=4), (5, 2)),
        (ConditionalConv2d(1, 3, 2, classes=4), (5, 1, 4, 4)),
    ):
        parameters = bind(layer, "numpy", "float64")
        with pytest.raises(MinaeError, match=r"one-hot labels of shape \(5, 4\), found None"):
            layer.new_cache(x_shape)
        with pytest.raises(MinaeError, match=r"\(5, 4\), found \(5, 3\)"):
            layer.new_cache(x_shape, new_batch(parameters, 5, classes=3))


def test_batch_norm_refuses_one_value_a_channel_and_backward_of_inference():
    layer = BatchNorm1d(3)
    parameters = bind(layer, "numpy", "float64")
    with pytest.raises(MinaeError, match=r"more than one value a channel, found .*\(1, 3\)"):
        layer.new_cache((1, 3))
    cache = layer.new_cache((1, 3), new_batch(parameters, 1, training=False))
    layer.forward(np.zeros((1, 3)), cache)
    with pytest.raises(MinaeError, match="backward needs a forward in training mode"):
        layer.backward(np.zeros((1, 3)), cache)


def test_one_layer_object_in_two_places_is_refused():
    shared = Dense(3, 3)
    with pytest.raises(MinaeError, match=r"net\.0 and net\.2 are one layer object"):
        Parameters({"net": Sequential(shared, Flatten(), shared)}, np, "float64")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Dropout(0.5), Dropout(0.2)),
        (MaskingNoise(0.5, number=3), GaussianNoise(0.2, number=3)),
    ],
)
def test_layers_that_would_draw_the_same_numbers_are_refused(first, second):
    """Two dropouts of one number drop the same units of two layers, not independent ones."""
    ops = get_backend("numpy")
    network = Sequential(first, Dense(3, 3), Sequential(second))
    with pytest.raises(MinaeError, match=r"net\.0 and net\.2\.0 would draw the same random"):
        Parameters({"net": network}, ops, "float64")
    second.number = 4
    Parameters({"net": network}, ops, "float64")
    Parameters({"net": Sequential(Dropout(0.5), MaskingNoise(0.5))}, ops, "float64")
