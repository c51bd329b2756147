"""Batch normalization over several batches, and what dropout draws."""

import numpy as np
import pytest
import torch

from minae.layers import Batch, BatchNorm1d, BatchNorm2d, Dropout
from minae.parameters import Parameters
from tests.comparison_of_layers import every_backend
from tests.examples import bind, new_batch, on_device, shares_memory


@every_backend
@pytest.mark.parametrize(
    ("kind", "judge", "x_shape"),
    [
        (BatchNorm1d, torch.nn.BatchNorm1d, (8, 3)),
        (BatchNorm1d, torch.nn.BatchNorm1d, (8, 3, 5)),
        (BatchNorm2d, torch.nn.BatchNorm2d, (8, 3, 4, 5)),
    ],
)
def test_running_statistics_over_several_batches(kind, judge, x_shape, backend):
    layer, wanted = kind(3, momentum=0.3), judge(3, momentum=0.3, dtype=torch.float64)
    parameters = Parameters({"layer": layer}, bind(layer, backend, "float64").ops, "float64")
    ops, rng = parameters.ops, np.random.default_rng(0)
    cache = layer.new_cache(x_shape, new_batch(parameters, x_shape[0]))
    for shift in range(5):
        x = rng.normal(shift, 1 + shift, x_shape)
        layer.forward(on_device(ops, x, "float64"), cache)
        wanted(torch.from_numpy(x))
        for name in ("running_mean", "running_var"):
            found = ops.to_numpy(getattr(layer, name))
            np.testing.assert_allclose(found, getattr(wanted, name), rtol=1e-12)
    before = ops.to_numpy(layer.running_mean), ops.to_numpy(layer.running_var)
    wanted.eval()
    samples = (2, *x_shape[1:])  # fewer than in training
    x = rng.normal(size=samples)
    cache = layer.new_cache(samples, new_batch(parameters, 2, training=False))
    y = ops.to_numpy(layer.forward(on_device(ops, x, "float64"), cache))
    np.testing.assert_allclose(y, wanted(torch.from_numpy(x)).detach(), rtol=1e-10, atol=1e-12)
    after = ops.to_numpy(layer.running_mean), ops.to_numpy(layer.running_var)
    np.testing.assert_array_equal(after, before)


def dropped(backend, *, p=0.3, number=0, step=0, rows=(0, 1, 2), seed=5, columns=1000):
    """The mask of one forward pass of a Dropout layer in training."""
    layer = Dropout(p, number)
    parameters = Parameters({"layer": layer}, bind(layer, backend, "float32").ops, "float32")
    ops = parameters.ops
    batch = Batch(seed, ops.asarray([step], np.int64), ops.asarray(rows, np.int64))
    cache = layer.new_cache((len(rows), columns), batch)
    y = layer.forward(on_device(ops, np.ones((len(rows), columns)), "float32"), cache)
    mask = ops.to_numpy(cache.mask)
    np.testing.assert_allclose(ops.to_numpy(y), mask / (1 - p), rtol=1e-6)
    return mask


@every_backend
def test_dropout_mask(backend):
    mask = dropped(backend)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert abs(mask.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / mask.size)
    np.testing.assert_array_equal(mask, dropped("numpy"))
    np.testing.assert_array_equal(mask[[2, 0]], dropped(backend, rows=(2, 0)))
    np.testing.assert_array_equal(dropped(backend, p=0.0), np.ones_like(mask))
    for other in ({"number": 1}, {"step": 1}, {"seed": 6}, {"rows": (3, 4, 5)}):
        assert (mask != dropped(backend, **other)).mean() > 0.3, other


@every_backend
def test_dropout_outside_training_is_the_identity(backend):
    layer = Dropout(0.5)
    parameters = bind(layer, backend, "float64")
    ops, rng = parameters.ops, np.random.default_rng(0)
    cache = layer.new_cache((4, 5), new_batch(parameters, 4, training=False))
    x, dy = rng.normal(size=(2, 4, 5))
    y = layer.forward(on_device(ops, x, "float64"), cache)
    np.testing.assert_array_equal(ops.to_numpy(y), x)
    upstream = on_device(ops, dy, "float64")
    dx = layer.backward(upstream, cache)
    np.testing.assert_array_equal(ops.to_numpy(dx), dy)
    assert not shares_memory(dx, upstream)
