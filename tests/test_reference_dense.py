"""The oracle's products and dense layer against the complex step and PyTorch."""

import pytest
import torch.nn.functional as F

from reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient, matmul
from tests.reference_checks import assert_close, assert_gradient, assert_like_torch, tensors


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
