"""The oracle's convolutions and the bias of a class against the complex step and PyTorch."""

import numpy as np
import pytest
import torch.nn.functional as F

from reference.activations import bias_activation_backward
from reference.class_bias import class_bias_backward, class_bias_forward
from reference.conv2d import conv2d_forward, conv2d_input_gradient, conv2d_weight_gradient
from reference.conv_transpose2d import (
    conv_transpose2d_forward,
    conv_transpose2d_input_gradient,
    conv_transpose2d_weight_gradient,
)
from reference.dense import matmul
from tests.reference_checks import assert_close, assert_gradient, assert_like_torch, tensors

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
