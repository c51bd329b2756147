"""A layer on a backend beside the same layer in PyTorch, with a random upstream gradient.

`compare` runs a layer twice, in two caches, before it goes back through either. Float64 must agree
to 1e-10. In float32 a sum of n random terms keeps about √n units in the last place, and PyTorch
computes in float64 from the same float32 numbers.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
import torch
from gpu import ALL_BACKENDS

from minae.layers import Reshape
from tests.examples import (
    DTYPES,
    EXAMPLES,
    bind,
    classes_of,
    fill,
    new_batch,
    on_device,
    shares_memory,
)
from tests.torch_layers import Judge, tensor

MARGIN = 1e-5  # least distance of an input from a kink

every_backend = pytest.mark.parametrize("backend", ALL_BACKENDS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_example = pytest.mark.parametrize("name", EXAMPLES)


@dataclass
class Pass:
    """One forward pass through minae and PyTorch."""

    cache: object
    x: object
    y: object
    dy: object
    x_tensor: torch.Tensor
    y_tensor: torch.Tensor


class Comparison:
    """A layer with random weights, and two forward passes of it in two caches."""

    def __init__(self, layer, x_shape, backend, dtype, seed, *, contiguous, training):
        self.layer, self.dtype = layer, dtype
        self.parameters = bind(layer, backend, dtype, seed)
        self.ops = ops = self.parameters.ops
        rng = np.random.default_rng(seed)
        arrays = self.parameters.views | self.parameters.statistics
        self.weights = {path: tensor(ops, array) for path, array in arrays.items()}
        for path in self.parameters.views:
            self.weights[path].requires_grad_()
        self.kink, self.passes = np.inf, []
        for number in range(2):
            batch = new_batch(
                self.parameters,
                x_shape[0],
                classes_of(layer),
                seed=2 * seed + number,
                training=training,
            )
            cache = layer.new_cache(x_shape, batch)
            x, dy = (
                on_device(ops, rng.normal(size=shape), dtype, contiguous=contiguous)
                for shape in (x_shape, cache.y_shape)
            )
            y = layer.forward(x, cache)
            judge = Judge(ops, self.weights, batch)
            x_tensor = tensor(ops, x).requires_grad_()
            y_tensor = judge.forward("layer", layer, x_tensor, cache)
            self.kink = min(self.kink, judge.kink)
            self.passes.append(Pass(cache, x, y, dy, x_tensor, y_tensor))

    def check_forward(self):
        for one in self.passes:
            self.close("y", one.y, one.y_tensor)
            np.testing.assert_array_equal(self.ops.to_numpy(one.x), one.x_tensor.detach())
        for path, array in self.parameters.statistics.items():
            self.close(path, array, self.weights[path])

    def check_backward(self):
        ops, gradients = self.ops, self.parameters.gradient_views
        for one in self.passes:
            dy = ops.to_numpy(one.dy)
            fill(ops, self.parameters.gradients, np.nan)
            dx = self.layer.backward(one.dy, one.cache)
            wanted = torch.autograd.grad(
                one.y_tensor,
                [one.x_tensor, *(self.weights[path] for path in gradients)],
                torch.from_numpy(dy.astype(np.float64)),
            )
            self.close("dx", dx, wanted[0])
            for (path, gradient), w in zip(gradients.items(), wanted[1:], strict=True):
                self.close(f"d {path}", gradient, w)
            np.testing.assert_array_equal(ops.to_numpy(one.x), one.x_tensor.detach())
            np.testing.assert_array_equal(ops.to_numpy(one.dy), dy)
            self.check_memory({"x": one.x, "y": one.y, "dy": one.dy, "dx": dx})

    def check_memory(self, arrays):
        """No result shares memory with another, but for the layers that only look at x."""
        views = isinstance(self.layer, Reshape)
        for path, gradient in self.parameters.gradient_views.items():
            arrays |= {f"d {path}": gradient, path: self.parameters.views[path]}
        for a, b in combinations(arrays, 2):
            shared = shares_memory(arrays[a], arrays[b])
            assert shared == (views and (a, b) in {("x", "y"), ("dy", "dx")}), (a, b)

    def close(self, name, found, wanted):
        wanted = wanted.detach().numpy()
        assert found.dtype == self.dtype, name
        found = self.ops.to_numpy(found)
        assert found.shape == wanted.shape, name
        error = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
        assert error <= self.tolerance(), f"{name}: error {error:.1e} > {self.tolerance():.1e}"

    def tolerance(self):
        if self.dtype == "float64":
            return 1e-10
        one = self.passes[0]
        lengths = [
            one.x.size // one.x.shape[1 % one.x.ndim],
            one.y.size // one.y.shape[1 % one.y.ndim],
        ]
        lengths += [
            w.size // min(w.shape[:2]) for w in self.parameters.views.values() if w.ndim > 1
        ]
        return 8 * np.finfo(np.float32).eps * np.sqrt(max(lengths))


def away_from_kinks(make, x_shape, backend, dtype, *, contiguous=True, training=True):
    """The first comparison, over seeds, whose numbers all keep MARGIN from a kink."""
    for seed in range(200):
        layer = make()
        comparison = Comparison(
            layer, x_shape, backend, dtype, seed, contiguous=contiguous, training=training
        )
        if comparison.kink > MARGIN:
            return comparison
    raise AssertionError("no input away from kinks in 200 draws")


def compare(make, x_shape, backend, dtype, *, contiguous=True):
    comparison = away_from_kinks(make, x_shape, backend, dtype, contiguous=contiguous)
    comparison.check_forward()
    comparison.check_backward()
