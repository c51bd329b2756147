"""What the tests of models share: a model's forward and backward pass, and its gradients against
PyTorch's."""

import numpy as np
import pytest
import torch

from tests.examples import BACKENDS

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def loaded(model, images, labels=None, *, training=True):
    """A cache that holds these images, forward and backward done."""
    cache = model.new_cache(len(images), training=training)
    rows = model.ops.asarray(np.arange(len(images)), np.int64)
    labels = model.device_labels(labels, len(images))
    model.load(model.device_images(images), labels, rows, cache)
    model.forward(cache)
    if training:
        model.backward(cache)
    return cache


def value_of(model, cache, part="loss"):
    return float(model.ops.to_numpy(cache.values[part])[0])


def weights_of(model, *, grad=True):
    """The model's weights as float64 leaves of PyTorch."""
    host = model.parameters.to_numpy()
    return {p: torch.tensor(v, dtype=torch.float64, requires_grad=grad) for p, v in host.items()}


def check_gradients(model, weights, loss):
    """Every gradient of the model against PyTorch's of this loss."""
    paths = [*model.parameters.gradient_views]
    wanted = torch.autograd.grad(loss, [weights[path] for path in paths])
    for path, gradient in zip(paths, wanted, strict=True):
        found = model.ops.to_numpy(model.parameters.gradient_views[path])
        scale = max(float(gradient.norm()), 1e-12)
        assert np.linalg.norm(found - gradient.numpy()) <= 1e-10 * scale, path
