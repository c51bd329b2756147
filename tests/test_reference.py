"""The complex step itself, and what holds for the files of the layers' operations alike."""

import ast
import pathlib
import runpy
import sys

import numpy as np
import pytest

from reference.activations import ACTIVATIONS, bias_activation_backward, bias_activation_forward
from reference.batch_norm import batch_norm_backward, batch_norm_forward, batch_norm_inference
from reference.class_bias import class_bias_backward, class_bias_forward
from reference.complex_step import complex_step_gradient, relative_error
from reference.conv2d import conv2d_forward, conv2d_input_gradient, conv2d_weight_gradient
from reference.conv_transpose2d import (
    conv_transpose2d_forward,
    conv_transpose2d_input_gradient,
    conv_transpose2d_weight_gradient,
)
from reference.dense import matmul
from reference.dropout import dropout_backward, dropout_forward
from reference.pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    upsample2d_backward,
    upsample2d_forward,
)
from tests.reference_checks import assert_close

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
        results.append(bias_activation_forward(x, v, activation, 0.3))
        results.extend(bias_activation_backward(x, x, activation, 0.3))
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
