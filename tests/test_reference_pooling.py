"""The oracle's pooling and upsampling against the complex step and PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reference.pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    upsample2d_backward,
    upsample2d_forward,
)
from tests.reference_checks import assert_gradient, assert_like_torch

# (H, W), kernel, stride, padding
POOLS = {
    "1x1": ((3, 4), (1, 1), (1, 1), (0, 0)),
    "2x2 apart": ((4, 6), (2, 2), (2, 2), (0, 0)),
    "overlapping": ((5, 6), (3, 2), (1, 1), (1, 1)),
    "rows left over": ((7, 5), (2, 3), (3, 2), (0, 0)),
    "gaps": ((7, 8), (2, 2), (3, 4), (0, 1)),
    "whole image": ((3, 5), (3, 5), (1, 1), (0, 0)),
    "rectangular, padded": ((5, 4), (4, 3), (2, 1), (2, 1)),
}


def without_ties(rng, shape):
    """Negative and positive numbers, no two closer than 0.1."""
    return 0.1 * rng.permutation(np.prod(shape)).reshape(shape) - 0.08 * np.prod(shape)


@pytest.mark.parametrize("case", POOLS.values(), ids=POOLS)
def test_max_pool2d(rng, case):
    size, *how = case
    kernel, stride, padding = how
    x = without_ties(rng, (2, 3, *size))
    y, argmax = max_pool2d_forward(x, *how)
    torch_y, places = F.max_pool2d(torch.from_numpy(x), *how, return_indices=True)
    assert_like_torch(y, torch_y)
    assert argmax.dtype == np.int32
    i, j = np.indices(y.shape[2:])
    p = i * stride[0] + argmax // kernel[1] - padding[0]
    q = j * stride[1] + argmax % kernel[1] - padding[1]
    np.testing.assert_array_equal(p * size[1] + q, places.numpy())
    dy = rng.normal(size=y.shape)
    dx = max_pool2d_backward(dy, argmax, *how, size)
    assert_gradient(dx, lambda x: max_pool2d_forward(x, *how)[0], x, dy)


def test_max_pool2d_takes_the_first_of_a_tie():
    x = np.array([[1.0, 7.0, 7.0], [7.0, 2.0, 7.0]])[None, None]
    y, argmax = max_pool2d_forward(x, (2, 3), (1, 1), (0, 0))
    assert y.item() == 7.0
    assert argmax.item() == 1
    dx = max_pool2d_backward(np.full((1, 1, 1, 1), 5.0), argmax, (2, 3), (1, 1), (0, 0), (2, 3))
    np.testing.assert_array_equal(dx[0, 0], [[0, 5, 0], [0, 0, 0]])


@pytest.mark.parametrize("case", POOLS.values(), ids=POOLS)
def test_avg_pool2d(rng, case):
    size, *how = case
    x = rng.normal(size=(2, 3, *size))
    y = avg_pool2d_forward(x, *how)
    assert_like_torch(y, F.avg_pool2d(torch.from_numpy(x), *how))
    dy = rng.normal(size=y.shape)
    dx = avg_pool2d_backward(dy, *how, size)
    assert_gradient(dx, lambda x: avg_pool2d_forward(x, *how), x, dy)


@pytest.mark.parametrize(
    ("size", "scale"), [((1, 1), (1, 1)), ((3, 2), (2, 2)), ((2, 5), (3, 1)), ((4, 3), (1, 4))]
)
def test_upsample2d(rng, size, scale):
    x = rng.normal(size=(2, 3, *size))
    y = upsample2d_forward(x, scale)
    wanted = F.interpolate(torch.from_numpy(x), scale_factor=scale, mode="nearest")
    assert_like_torch(y, wanted)
    dy = rng.normal(size=y.shape)
    assert_gradient(upsample2d_backward(dy, scale), lambda x: upsample2d_forward(x, scale), x, dy)
