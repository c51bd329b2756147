"""NaN and -inf: the same in every column, and as in PyTorch where it says the same."""

import numpy as np
import pytest
import torch

from minae.backends.spec import ACTIVATIONS
from reference import activations, pooling

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, dtype, ops):
    x = np.tile(SPECIAL, (3, 5)).astype(dtype)  # rows longer than a vector of the processor
    y, dx = (ops.empty(x.shape, dtype) for _ in range(2))
    with np.errstate(all="ignore"):
        ops.bias_activation_forward(ops.asarray(x), None, activation, 0.1, out=y)
        wanted = activations.bias_activation_forward(x, None, activation, 0.1)
    found = ops.to_numpy(y)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    dy = np.full_like(x, 3)
    args = ops.asarray(dy), ops.asarray(wanted.astype(dtype)), activation, 0.1
    with np.errstate(all="ignore"):
        ops.bias_activation_backward(*args, dx=dx, db=None)
        wanted, _ = activations.bias_activation_backward(dy, wanted, activation, 0.1)
    np.testing.assert_allclose(ops.to_numpy(dx), wanted, rtol=1e-6)
    of_nan = {"identity": 3, "relu": 0, "leaky_relu": 0.3}.get(activation, np.nan)
    np.testing.assert_allclose(wanted[0, 0], of_nan, rtol=1e-6)


def test_relu_of_nan_is_that_of_pytorch(ops):
    x = SPECIAL[None, :].copy()
    y = ops.empty(x.shape, np.float64)
    ops.bias_activation_forward(ops.asarray(x), None, "relu", 0.0, out=y)
    np.testing.assert_array_equal(ops.to_numpy(y), torch.relu(torch.tensor(x)).numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((2, 2), (2, 2), (0, 0)),
        ((3, 3), (2, 2), (1, 1)),
        ((4, 2), (1, 1), (2, 1)),
        ((5, 4), (1, 3), (2, 2)),
    ],
)
def test_max_pooling(kernel, stride, padding, dtype, ops):
    x = np.full((2, 3, 7, 6), -np.inf, dtype)
    x[0, 0, 2:4, 2:4] = np.nan
    x[0, 1, 1, 1], x[0, 2, 5, 5] = 3, -1e30
    x[1, 0] = np.random.default_rng(0).normal(size=(7, 6))
    x[1, 0, 0, 0] = x[1, 0, 4, 4] = np.nan
    y, argmax = pooling.max_pool2d_forward(x, kernel, stride, padding)
    out, places = ops.empty(y.shape, dtype), ops.empty(y.shape, np.int32)
    ops.max_pool2d_forward(ops.asarray(x), kernel, stride, padding, out=out, argmax=places)
    np.testing.assert_array_equal(ops.to_numpy(out), y)
    np.testing.assert_array_equal(ops.to_numpy(places), argmax)
    np.testing.assert_array_equal(
        y, torch.nn.functional.max_pool2d(torch.tensor(x), kernel, stride, padding).numpy()
    )
    # no gradient is lost in the padding
    dy, dx = np.ones_like(y), ops.empty(x.shape, dtype)
    ops.max_pool2d_backward(ops.asarray(dy), places, kernel, stride, padding, out=dx)
    wanted = pooling.max_pool2d_backward(dy, argmax, kernel, stride, padding, (7, 6))
    np.testing.assert_array_equal(ops.to_numpy(dx), wanted)
    assert wanted.sum() == dy.size


def test_all_minus_infinity_gives_to_the_first_pixel(ops):
    for (H, W), kernel, padding, first in (
        ((2, 2), (3, 3), (1, 1), [[4, 3], [1, 0]]),
        ((1, 1), (5, 5), (2, 2), [[12]]),
    ):
        x = np.full((1, 1, H, W), -np.inf)
        _, argmax = pooling.max_pool2d_forward(x, kernel, (1, 1), padding)
        np.testing.assert_array_equal(argmax[0, 0], first)
        out, places = ops.empty(argmax.shape, np.float64), ops.empty(argmax.shape, np.int32)
        ops.max_pool2d_forward(ops.asarray(x), kernel, (1, 1), padding, out=out, argmax=places)
        np.testing.assert_array_equal(ops.to_numpy(places), argmax)
