"""The oracle's activations against the complex step and PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reference.activations import ACTIVATIONS, bias_activation_backward, bias_activation_forward
from tests.reference_checks import assert_gradient, assert_like_torch

SLOPE = 0.3
TORCH_ACTIVATIONS = {
    "identity": lambda a: a,
    "relu": F.relu,
    "leaky_relu": lambda a: F.leaky_relu(a, SLOPE),
    "elu": lambda a: F.elu(a, SLOPE),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": lambda a: torch.logaddexp(a, torch.zeros_like(a)),
}


def away_from_zero(rng, shape):
    """Numbers of either sign at least 0.1 from the kink."""
    return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.1, 3.0, size=shape)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["none", "one a channel", "one a sample"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4, 2, 5), (6, 1)])
def test_bias_activation(rng, activation, bias, shape):
    N, K = shape[:2]
    b = {"none": None, "one a channel": rng.normal(size=K), "one a sample": rng.normal(size=(N, K))}
    b = b[bias]
    broadcast = 0.0 if b is None else b.reshape(b.shape + (1,) * (len(shape) - 2))  # (…K, 1, 1)
    a, dy = away_from_zero(rng, shape), rng.normal(size=shape)
    x = a - broadcast

    def f(x, b):
        return bias_activation_forward(x, b, activation, SLOPE)

    y = f(x, b)
    assert_like_torch(y, TORCH_ACTIVATIONS[activation](torch.from_numpy(x + broadcast)))
    per_sample = bias == "one a sample"
    dx, db = bias_activation_backward(dy, y, activation, SLOPE, per_sample)
    assert_gradient(dx, lambda x: f(x, b), x, dy)
    if b is not None:
        assert_gradient(db, lambda b: f(x, b), b, dy)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_do_not_overflow_far_out(activation):
    x = np.array([[-800.0, -30.0, -1e-9, 30.0, 800.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = bias_activation_forward(x, None, activation, SLOPE)
        dx, _ = bias_activation_backward(np.ones_like(x), y, activation, SLOPE)
    t = torch.tensor(x, requires_grad=True)
    torch_y = TORCH_ACTIVATIONS[activation](t)
    torch_y.sum().backward()
    np.testing.assert_allclose(y, torch_y.detach().numpy(), rtol=1e-12, atol=0)
    np.testing.assert_allclose(dx, t.grad.numpy(), rtol=1e-12, atol=1e-16)


def test_softplus_derivative_keeps_its_digits_where_the_output_is_small():
    x = np.array([[-30.0, -20.0, -10.0]])
    y = bias_activation_forward(x, None, "softplus", 0.0)
    dx, _ = bias_activation_backward(np.ones_like(x), y, "softplus", 0.0)
    np.testing.assert_allclose(dx, 1 / (1 + np.exp(-x)), rtol=1e-14, atol=0)


def test_derivative_at_the_kink_is_that_of_the_left():
    x = np.zeros((1, 1))
    for activation, wanted in [("relu", 0.0), ("leaky_relu", SLOPE), ("elu", SLOPE)]:
        y = bias_activation_forward(x, None, activation, SLOPE)
        dx, _ = bias_activation_backward(np.ones((1, 1)), y, activation, SLOPE)
        assert dx[0, 0] == wanted


def test_unknown_activation_is_named():
    with pytest.raises(ValueError, match=r"'gelu'.*'relu'"):
        bias_activation_forward(np.ones((1, 1)), None, "gelu", 0.0)
    with pytest.raises(ValueError, match=r"'gelu'.*'relu'"):
        bias_activation_backward(np.ones((1, 1)), np.ones((1, 1)), "gelu", 0.0)
