"""How the tests of `reference/` compare: with the complex step and with PyTorch."""

import numpy as np
import torch

from reference.complex_step import complex_step_gradient, relative_error


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
