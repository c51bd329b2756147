"""Every layer on every backend against PyTorch: one example of each, and the edges of blocks."""

from dataclasses import fields

import numpy as np
import pytest

from minae import layers
from minae.backends.spec import ACTIVATIONS
from minae.layers import (
    Activation,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    ConditionalConv2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dropout,
    MaxPool2d,
    Sequential,
    Upsample2d,
)
from tests.comparison_of_layers import (
    away_from_kinks,
    compare,
    every_backend,
    every_dtype,
    every_example,
)
from tests.examples import (
    CLASSES,
    EXAMPLES,
    bind,
    classes_of,
    fill,
    new_batch,
    on_device,
    public_layers,
)


def test_every_layer_has_an_example():
    assert {type(make()).__name__ for make, _ in EXAMPLES.values()} == public_layers()


@every_backend
@every_dtype
@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "strided"])
@every_example
def test_example(name, contiguous, dtype, backend):
    compare(*EXAMPLES[name], backend, dtype, contiguous=contiguous)


@every_backend
@every_dtype
@every_example
def test_inference(name, dtype, backend):
    """As in training, but for batch normalization (running statistics) and dropout (identity)."""
    make, x_shape = EXAMPLES[name]
    comparison = away_from_kinks(make, x_shape, backend, dtype, training=False)
    comparison.check_forward()


@every_backend
@every_example
def test_without_dx_the_weights_still_have_their_gradients(name, backend):
    make, x_shape = EXAMPLES[name]
    layer = make()
    parameters = bind(layer, backend, "float64")
    ops = parameters.ops
    batch = new_batch(parameters, x_shape[0], classes_of(layer))
    x = on_device(ops, np.random.default_rng(0).normal(size=x_shape), "float64")
    gradients = []
    for needs_dx in (True, False):
        cache = layer.new_cache(x_shape, batch, needs_dx=needs_dx)
        dy = on_device(ops, np.random.default_rng(1).normal(size=cache.y_shape), "float64")
        layer.forward(x, cache)
        fill(ops, parameters.gradients, 0)
        dx = layer.backward(dy, cache)
        assert (dx is not None) == needs_dx
        gradients.append(ops.to_numpy(parameters.gradients))
    np.testing.assert_array_equal(*gradients)
    assert bool(parameters.count) == bool(gradients[0].any())


@every_backend
@every_dtype
@pytest.mark.parametrize(
    ("make", "x_shape"),
    [
        (lambda: Conv2d(33, 31, (1, 3), padding=(0, 1), activation="relu"), (2, 33, 2, 32)),
        (lambda: Conv2d(1, 32, 5, stride=2, activation="tanh"), (33, 1, 9, 9)),
        (lambda: Conv1d(1, 1, 3, padding=1, activation="elu"), (31, 1, 257)),
        (lambda: ConvTranspose2d(32, 33, 2, stride=2), (2, 32, 4, 4)),
        (lambda: ConvTranspose1d(31, 1, 4, stride=3, activation="sigmoid"), (1, 31, 33)),
        (lambda: ConditionalConv2d(1, 33, 6, stride=2, classes=CLASSES), (32, 1, 12, 12)),
        (lambda: BatchNorm2d(33), (31, 33, 3, 3)),
        (lambda: BatchNorm1d(1), (257, 1)),
        (lambda: MaxPool2d(2), (31, 3, 33, 32)),
        (lambda: AvgPool2d(2), (3, 31, 32, 33)),
        (lambda: Upsample2d(2), (1, 1, 33, 257)),
        (lambda: Activation("softplus"), (257, 257)),
        (lambda: Dropout(0.5), (33, 257)),
    ],
)
def test_block_edges(make, x_shape, dtype, backend):
    compare(make, x_shape, backend, dtype)


@every_backend
@every_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("x_shape", [(5,), (4, 7), (2, 3, 4), (3, 2, 4, 5)])
def test_activation(x_shape, activation, dtype, backend):
    compare(lambda: Activation(activation, 0.3), x_shape, backend, dtype)


def test_options_of_a_layer_are_its_fields():
    """What `describe` saves is enough to make the layer again."""
    for make, _ in EXAMPLES.values():
        layer = make()
        if not isinstance(layer, Sequential):
            arguments = {f.name: getattr(layer, f.name) for f in fields(layer) if f.init}
            assert repr(type(layer)(**arguments)) == repr(layer)


def test_layers_are_public():
    assert set(layers.__all__) == public_layers() | {"Batch", "Cache", "Layer", "Parameter"}
