"""The oracle's layers against the complex step, with a random upstream gradient, and PyTorch."""

import ast
import pathlib
import runpy
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reference.activations import (
    ACTIVATIONS,
    bias_activation_backward,
    bias_activation_forward,
)
from reference.batch_norm import batch_norm_backward, batch_norm_forward, batch_norm_inference
from reference.class_bias import class_bias_backward, class_bias_forward
from reference.complex_step import complex_step_gradient, relative_error
from reference.conv2d import conv2d_forward, conv2d_input_gradient, conv2d_weight_gradient
from reference.conv_transpose2d import (
    conv_transpose2d_forward,
    conv_transpose2d_input_gradient,
    conv_transpose2d_weight_gradient,
)
from reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient, matmul
from reference.dropout import dropout_backward, dropout_forward
from reference.pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    upsample2d_backward,
    upsample2d_forward,
)

FILES = (
    "complex_step",
    "dense",
    "activations",
    "conv2d",
    "conv_transpose2d",
    "class_bias",
    "pooling",
    "batch_norm",
    "dropout",
    "contractive",
    "iwae",
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def assert_close(found, wanted, tolerance):
    """‖found - wanted‖ <= tolerance ‖wanted‖, and the shapes and dtypes agree."""
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    assert relative_error(found, wanted) <= tolerance


def assert_gradient(gradient, f, x, upstream):
    """gradient is that of Σ upstream · f(x), by the complex step."""
    assert_close(gradient, complex_step_gradient(f, x, upstream), 1e-10)


def assert_like_torch(found, tensor):
    assert_close(found, tensor.numpy(), 1e-12)


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]


# -------------------------------------------------------------------- complex_step.py
def test_complex_step_of_a_known_derivative(rng):
    x, upstream = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    wanted = upstream * np.exp(np.sin(x)) * np.cos(x)
    assert_close(complex_step_gradient(lambda x: np.exp(np.sin(x)), x, upstream), wanted, 1e-15)


def test_complex_step_sums_over_the_outputs(rng):
    a, x, upstream = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=5)
    assert_close(complex_step_gradient(lambda x: a @ x, x, upstream), a.T @ upstream, 1e-14)


def test_relative_error_refuses_unequal_shapes_and_passes_no_zero():
    with pytest.raises(ValueError, match="wanted"):
        relative_error(np.ones((2, 1)), np.ones(2))
    assert not relative_error(np.zeros(2), np.zeros(2)) <= 1.0
    assert relative_error(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == 0.2


# -------------------------------------------------------------------- dense.py
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("M", "Q", "R"), [(1, 1, 1), (3, 4, 2), (2, 3, 5)])
def test_matmul(rng, M, Q, R, transpose_a, transpose_b):
    a = rng.normal(size=(Q, M) if transpose_a else (M, Q))
    b = rng.normal(size=(R, Q) if transpose_b else (Q, R))
    ta, tb = tensors(a, b)
    wanted = (ta.T if transpose_a else ta) @ (tb.T if transpose_b else tb)
    assert_like_torch(matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b), wanted)


def test_matmul_transposes_without_conjugating(rng):
    a = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    b = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    assert_close(matmul(a, b, transpose_a=True), a.T @ b, 1e-14)


def test_matmul_backward_is_two_products(rng):
    a, b, dy = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    assert_gradient(matmul(dy, b, transpose_b=True), lambda a: matmul(a, b), a, dy)
    assert_gradient(matmul(a, dy, transpose_a=True), lambda b: matmul(a, b), b, dy)


@pytest.mark.parametrize(("N", "D", "K"), [(1, 1, 1), (4, 3, 5), (2, 4, 4)])
def test_dense(rng, N, D, K):
    x, w, dy = rng.normal(size=(N, D)), rng.normal(size=(K, D)), rng.normal(size=(N, K))
    assert_like_torch(dense_forward(x, w), F.linear(*tensors(x, w)))
    assert_gradient(dense_input_gradient(dy, w), lambda x: dense_forward(x, w), x, dy)
    assert_gradient(dense_weight_gradient(x, dy), lambda w: dense_forward(x, w), w, dy)


# -------------------------------------------------------------------- activations.py
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


# -------------------------------------------------------------------- conv2d.py
# N, C, (H, W), K, (KH, KW), stride, padding, dilation, groups
CONVOLUTIONS = {
    "1x1 kernel": (2, 3, (4, 3), 2, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "1x1 image": (3, 2, (1, 1), 4, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "3x3 same": (2, 2, (4, 5), 3, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "stride 2, rows left over": (2, 2, (6, 7), 3, (3, 2), (2, 2), (0, 0), (1, 1), 1),
    "stride beyond kernel": (1, 2, (7, 8), 2, (2, 1), (3, 3), (0, 1), (1, 1), 1),
    "padding beyond kernel": (1, 1, (3, 4), 2, (2, 2), (2, 1), (3, 2), (1, 1), 1),
    "dilation": (1, 2, (7, 8), 2, (3, 2), (1, 2), (1, 0), (2, 3), 1),
    "groups": (2, 4, (5, 4), 6, (3, 2), (2, 1), (1, 1), (1, 1), 2),
    "depthwise": (2, 3, (4, 5), 3, (2, 3), (1, 1), (0, 1), (1, 1), 3),
    "height 1": (2, 2, (1, 9), 3, (1, 4), (1, 2), (0, 1), (1, 2), 1),
    "whole image": (2, 3, (3, 4), 2, (3, 4), (1, 1), (0, 0), (1, 1), 1),
    "everything": (2, 4, (7, 9), 4, (3, 2), (2, 3), (2, 1), (2, 2), 2),
}


@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_conv2d(rng, case):
    N, C, size, K, kernel, *how = case
    groups = how[-1]
    x, w = rng.normal(size=(N, C, *size)), rng.normal(size=(K, C // groups, *kernel))
    y = conv2d_forward(x, w, *how)
    stride, padding, dilation, groups = how
    assert_like_torch(y, F.conv2d(*tensors(x, w), None, stride, padding, dilation, groups))
    dy = rng.normal(size=y.shape)
    dx = conv2d_input_gradient(dy, w, *how, size)
    dw = conv2d_weight_gradient(x, dy, *how, kernel)
    assert_gradient(dx, lambda x: conv2d_forward(x, w, *how), x, dy)
    assert_gradient(dw, lambda w: conv2d_forward(x, w, *how), w, dy)
    assert np.isclose(np.sum(y * dy), np.sum(x * dx), rtol=1e-10, atol=1e-12)


def test_conv2d_gives_unread_rows_no_gradient(rng):
    w, dy = rng.normal(size=(1, 1, 2, 2)), rng.normal(size=(1, 1, 2, 2))
    dx = conv2d_input_gradient(dy, w, (2, 2), (0, 0), (1, 1), 1, (5, 5))
    assert dx.shape == (1, 1, 5, 5)
    assert np.all(dx[:, :, :4, :4] != 0)
    assert np.all(dx[:, :, 4] == 0)
    assert np.all(dx[:, :, :, 4] == 0)


# -------------------------------------------------------------------- conv_transpose2d.py
# N, C, (H, W), K, (KH, KW), stride, padding, output padding, dilation, groups
TRANSPOSED = {
    "1x1 kernel": (2, 3, (3, 2), 2, (1, 1), (1, 1), (0, 0), (0, 0), (1, 1), 1),
    "1x1 image": (2, 3, (1, 1), 2, (3, 4), (1, 1), (0, 0), (0, 0), (1, 1), 1),
    "doubling": (2, 2, (3, 2), 3, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 1),
    "doubling, even kernel": (1, 2, (2, 3), 2, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1),
    "output padding beyond the stamps": (
        1,
        2,
        (2, 3),
        2,
        (2, 3),
        (3, 2),
        (0, 0),
        (2, 1),
        (1, 1),
        1,
    ),
    "gaps between stamps": (2, 2, (2, 3), 1, (1, 2), (3, 3), (0, 0), (0, 2), (1, 1), 1),
    "rectangular": (1, 3, (2, 4), 2, (3, 2), (1, 3), (1, 0), (0, 1), (1, 1), 1),
    "dilation": (1, 2, (3, 3), 2, (3, 2), (1, 2), (2, 1), (0, 1), (2, 3), 1),
    "groups": (2, 4, (3, 2), 6, (3, 2), (2, 1), (1, 1), (1, 0), (1, 1), 2),
    "depthwise": (2, 3, (2, 3), 3, (2, 3), (2, 2), (0, 1), (0, 1), (1, 1), 3),
    "everything": (2, 4, (3, 4), 2, (3, 2), (2, 3), (2, 1), (1, 2), (2, 2), 2),
}


@pytest.mark.parametrize("case", TRANSPOSED.values(), ids=TRANSPOSED)
def test_conv_transpose2d(rng, case):
    N, C, size, K, kernel, stride, padding, output_padding, dilation, groups = case
    x, w = rng.normal(size=(N, C, *size)), rng.normal(size=(C, K // groups, *kernel))
    how = (stride, padding, dilation, groups)

    def f(x, w):
        return conv_transpose2d_forward(x, w, stride, padding, output_padding, dilation, groups)

    y = f(x, w)
    wanted = F.conv_transpose2d(
        *tensors(x, w), None, stride, padding, output_padding, groups, dilation
    )
    assert_like_torch(y, wanted)
    dy = rng.normal(size=y.shape)
    dx = conv_transpose2d_input_gradient(dy, w, *how)
    dw = conv_transpose2d_weight_gradient(x, dy, *how, kernel)
    assert_gradient(dx, lambda x: f(x, w), x, dy)
    assert_gradient(dw, lambda w: f(x, w), w, dy)
    # conv2d's three operations with roles exchanged, and the adjoint identity
    assert_close(y, conv2d_input_gradient(x, w, *how, y.shape[2:]), 1e-14)
    assert_close(dx, conv2d_forward(dy, w, *how), 1e-14)
    assert_close(dw, conv2d_weight_gradient(dy, x, *how, kernel), 1e-14)
    inner = np.sum(x * conv2d_forward(dy, w, *how))
    assert np.isclose(np.sum(y * dy), inner, rtol=1e-10, atol=1e-12)


def test_conv_transpose2d_refuses_an_output_padding_of_the_stride():
    x, w = np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))
    with pytest.raises(ValueError, match=r"output_padding \(0, 2\) must be less than stride"):
        conv_transpose2d_forward(x, w, (2, 2), (0, 0), (0, 2), (1, 1), 1)


# -------------------------------------------------------------------- class_bias.py
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 4, 2, 3), (2, 10, 3, 1)])
def test_class_bias(rng, shape):
    w, dtable = rng.normal(size=shape), rng.normal(size=shape[:2])
    assert_gradient(class_bias_backward(dtable, shape[2:]), class_bias_forward, w, dtable)


def joined_and_split(rng, stride, padding, dilation):
    """A convolution of [x; label planes], and what the image's own part lacks of it."""
    labels, t = np.array([2, 0, 1, 2]), np.eye(3)[[2, 0, 1, 2]]  # t: (N, classes)
    x, wx = rng.normal(size=(4, 2, 8, 7)), rng.normal(size=(5, 2, 3, 2))
    w = rng.normal(size=(5, 3, 3, 2))
    planes = np.broadcast_to(t[:, :, None, None], (4, 3, 8, 7))
    joined = np.concatenate([x, planes], axis=1), np.concatenate([wx, w], axis=1)
    difference = conv2d_forward(*joined, stride, padding, dilation, 1) - conv2d_forward(
        x, wx, stride, padding, dilation, 1
    )
    return difference, class_bias_forward(w)[:, labels].T  # (N, K, OH, OW), (N, K)


@pytest.mark.parametrize(
    ("stride", "dilation"), [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((3, 1), (2, 3))]
)
def test_class_bias_is_what_label_planes_add(rng, stride, dilation):
    difference, bias = joined_and_split(rng, stride, (0, 0), dilation)
    wanted = np.broadcast_to(bias[:, :, None, None], difference.shape)
    assert_close(difference, wanted, 1e-12)


def test_class_bias_fails_with_padding_at_the_border_only(rng):
    difference, bias = joined_and_split(rng, (1, 1), (1, 1), (1, 1))
    constant = np.isclose(difference, bias[:, :, None, None], rtol=1e-10, atol=1e-12)
    assert constant[:, :, 1:-1, 1:-1].all()
    assert not constant[:, :, 0].any()
    assert not constant[:, :, :, -1].any()


def test_class_bias_gradient_through_the_whole_chain(rng):
    """dw of the label weight in a concatenated convolution, from db, one-hot and class_bias."""
    t = np.eye(3)[[2, 0, 1, 2]]  # (N, classes)
    planes = np.broadcast_to(t[:, :, None, None], (4, 3, 5, 4))
    w, how = rng.normal(size=(2, 3, 3, 2)), ((2, 1), (0, 0), (1, 1), 1)
    y = conv2d_forward(planes, w, *how)
    dy = rng.normal(size=y.shape)
    _, db = bias_activation_backward(dy, y, "identity", 0.0, per_sample=True)
    dtable = matmul(db, t, transpose_a=True)
    dw = class_bias_backward(dtable, (3, 2))
    assert_gradient(dw, lambda w: conv2d_forward(planes, w, *how), w, dy)


# -------------------------------------------------------------------- pooling.py
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


# -------------------------------------------------------------------- all of them
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_inputs(rng, dtype):
    x, w = (rng.normal(size=s).astype(dtype) for s in [(2, 2, 4, 4), (2, 2, 3, 3)])
    flat, v = x.reshape(16, 4), x[0, 0, 0, :2]
    how, pool = ((1, 1), (1, 1), (1, 1), 1), ((2, 2), (2, 2), (0, 0))
    y, argmax = max_pool2d_forward(x, *pool)
    results = [
        matmul(flat, flat, transpose_b=True),
        conv2d_forward(x, w, *how),
        conv2d_input_gradient(x, w, *how, (4, 4)),
        conv2d_weight_gradient(x, x, *how, (3, 3)),
        conv_transpose2d_forward(x, w, (1, 1), (1, 1), (0, 0), (1, 1), 1),
        conv_transpose2d_input_gradient(x, w, *how),
        conv_transpose2d_weight_gradient(x, x, *how, (3, 3)),
        class_bias_forward(w),
        class_bias_backward(flat, (3, 3)),
        y,
        max_pool2d_backward(y, argmax, *pool, (4, 4)),
        avg_pool2d_forward(x, *pool),
        avg_pool2d_backward(y, *pool, (4, 4)),
        upsample2d_forward(x, (2, 2)),
        upsample2d_backward(x, (2, 2)),
        *batch_norm_forward(x, v, v, v, v, 0.1, 1e-5),
        batch_norm_inference(x, v, v, v, abs(v), 1e-5),
        *batch_norm_backward(x, x, v, v, v),
        dropout_forward(x, x, 0.5),
        dropout_backward(x, x, 0.5),
    ]
    for activation in ACTIVATIONS:
        results.append(bias_activation_forward(x, v, activation, SLOPE))
        results.extend(bias_activation_backward(x, x, activation, SLOPE))
    assert {result.dtype for result in results} == {np.dtype(dtype)}


@pytest.mark.parametrize("file", FILES)
def test_demo_runs_and_checks_itself(file, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, f"reference.{file}", raising=False)
    runpy.run_module(f"reference.{file}", run_name="__main__")
    assert "max relative error" in capsys.readouterr().out


@pytest.mark.parametrize("file", FILES)
def test_reference_imports_numpy_only(file):
    source = pathlib.Path(__file__).parents[1] / "reference" / f"{file}.py"
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
    assert found <= {"numpy", "reference"}
