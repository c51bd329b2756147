"""Sparse autoencoders: the penalty against PyTorch, and that it makes codes sparse."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minae import recipes
from minae.layers import Dense
from minae.losses import MSE
from minae.models import SparseAutoencoder
from minae.training import Training
from tests.examples import mnist
from tests.model_gradients import check_gradients, every_backend, loaded, value_of, weights_of


@every_backend
@pytest.mark.parametrize("reduction", ["mean", "image", "sum"])
def test_sparse_like_torch(reduction, backend):
    images = np.random.default_rng(3).uniform(size=(5, 12))
    model = SparseAutoencoder(
        (12,), Dense(12, 8, "tanh"), Dense(8, 12), MSE(reduction), weight=0.7
    ).bind(backend, np.float64)
    cache = loaded(model, images)
    w, x = weights_of(model), torch.from_numpy(images)
    z = torch.tanh(F.linear(x, w["encoder.w"], w["encoder.b"]))
    squared_error = F.mse_loss(F.linear(z, w["decoder.w"], w["decoder.b"]), x, reduction="sum")
    divisors = {"mean": (60, 5), "image": (5, 5), "sum": (1, 1)}[reduction]
    loss = squared_error / divisors[0] + 0.7 * z.abs().sum() / divisors[1]
    assert value_of(model, cache) == pytest.approx(loss.item(), rel=1e-10)
    check_gradients(model, w, loss)


@every_backend
def test_a_penalty_makes_codes_sparse(backend):
    images, _ = mnist(300)
    shares = []
    for weight in (0.0, 0.3):
        recipe = recipes.make("sparse")
        recipe.model.weight = weight
        model = recipe.model.bind(backend)
        training = Training(model, recipe.optimizer, images, batch_size=50)
        for _ in range(200):
            training.step()
        shares.append(model.evaluate(images)["active_share"])
    assert shares[1] < 0.6 * shares[0]
