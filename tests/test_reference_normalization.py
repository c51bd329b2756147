"""The oracle's batch normalization and dropout against the complex step and PyTorch."""

import numpy as np
import pytest
import torch.nn.functional as F

from reference.batch_norm import batch_norm_backward, batch_norm_forward, batch_norm_inference
from reference.dropout import dropout_backward, dropout_forward
from tests.reference_checks import assert_close, assert_gradient, assert_like_torch, tensors


# -------------------------------------------------------------------- batch_norm.py
@pytest.mark.parametrize("shape", [(2, 1), (7, 3), (3, 4, 2, 5), (1, 2, 3, 3)])
def test_batch_norm(rng, shape):
    C, momentum, eps = shape[1], 0.3, 1e-2
    x, dy = rng.normal(2.0, 3.0, size=shape), rng.normal(size=shape)
    gamma, beta, running_mean = rng.normal(size=C), rng.normal(size=C), rng.normal(size=C)
    running_var = rng.uniform(0.5, 2.0, size=C)
    before = running_mean.copy(), running_var.copy()

    def f(x, gamma, beta):
        return batch_norm_forward(x, gamma, beta, running_mean, running_var, momentum, eps)

    y, mean, inv_std, new_mean, new_var = f(x, gamma, beta)
    np.testing.assert_array_equal(running_mean, before[0])
    np.testing.assert_array_equal(running_var, before[1])
    tx, tg, tb = tensors(x, gamma, beta)
    torch_mean, torch_var = tensors(running_mean.copy(), running_var.copy())
    wanted = F.batch_norm(tx, torch_mean, torch_var, tg, tb, True, momentum, eps)
    assert_like_torch(y, wanted)
    assert_like_torch(new_mean, torch_mean)
    assert_like_torch(new_var, torch_var)
    found = batch_norm_inference(x, gamma, beta, running_mean, running_var, eps)
    wanted = F.batch_norm(tx, *tensors(running_mean, running_var), tg, tb, False, momentum, eps)
    assert_like_torch(found, wanted)

    dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma, mean, inv_std)
    assert_gradient(dx, lambda x: f(x, gamma, beta)[0], x, dy)
    assert_gradient(dgamma, lambda gamma: f(x, gamma, beta)[0], gamma, dy)
    assert_gradient(dbeta, lambda beta: f(x, gamma, beta)[0], beta, dy)


def test_batch_norm_refuses_one_number_a_channel():
    one = np.ones(3)
    with pytest.raises(ValueError, match="1 number a channel"):
        batch_norm_forward(np.ones((1, 3)), one, one, one, one, 0.1, 1e-5)


# -------------------------------------------------------------------- dropout.py
@pytest.mark.parametrize("shape", [(1, 1), (4, 5), (2, 3, 4, 2)])
@pytest.mark.parametrize("keep", [1.0, 0.8, 0.3])
def test_dropout(rng, shape, keep):
    x, dy = rng.normal(size=shape), rng.normal(size=shape)
    mask = (rng.random(shape) < keep).astype(float)
    mask.flat[0] = 1.0
    y = dropout_forward(x, mask, keep)
    assert_close(y, np.where(mask == 1.0, x / keep, 0.0), 1e-15)
    dx = dropout_backward(dy, mask, keep)
    assert_gradient(dx, lambda x: dropout_forward(x, mask, keep), x, dy)
