"""Tied autoencoders: weights that serve twice, and that linear and centred they find PCA."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minae
from minae import MinaeError, ledger, recipes
from minae.layers import Dense, Sequential
from minae.losses import MSE
from minae.models import TiedAutoencoder
from minae.models.tied import TransposedDense
from minae.optim import Adam, Cosine
from minae.training import Training
from tests.examples import mnist
from tests.model_gradients import check_gradients, every_backend, loaded, value_of, weights_of


@every_backend
def test_tied_like_torch(backend):
    """Two layers each way; a weight that serves twice gets both gradients, in one slice."""
    images = np.random.default_rng(4).uniform(size=(5, 12))
    model = TiedAutoencoder(
        (12,),
        Sequential(Dense(12, 8, "tanh"), Dense(8, 3)),
        Sequential(TransposedDense(3, 8, "tanh"), TransposedDense(8, 12, "sigmoid")),
        MSE(),
    ).bind(backend, np.float64)
    assert model.parameters.count == 12 * 8 + 8 + 8 * 3 + 3 + 8 + 12
    cache = loaded(model, images)
    w, x = weights_of(model), torch.from_numpy(images)
    h = torch.tanh(F.linear(x, w["encoder.0.w"], w["encoder.0.b"]))
    z = F.linear(h, w["encoder.1.w"], w["encoder.1.b"])
    g = torch.tanh(z @ w["encoder.1.w"] + w["decoder.0.b"])
    loss = F.mse_loss(torch.sigmoid(g @ w["encoder.0.w"] + w["decoder.1.b"]), x)
    assert value_of(model, cache) == pytest.approx(loss.item(), rel=1e-10)
    check_gradients(model, w, loss)


@every_backend
def test_a_tied_layer_alone_in_a_sequential(backend):
    """Trains as the bare layer does, on either side."""
    images = np.random.default_rng(4).uniform(size=(5, 12))
    gradients = []
    for wrap in (lambda layer: layer, Sequential):
        networks = wrap(Dense(12, 3)), wrap(TransposedDense(3, 12))
        model = TiedAutoencoder((12,), *networks, MSE()).bind(backend, np.float64)
        loaded(model, images)
        gradients.append(model.ops.to_numpy(model.parameters.gradients))
    np.testing.assert_array_equal(*gradients)


@every_backend
def test_pca_is_found(backend):
    """Error and subspace, on data with a gap behind the third variance."""
    rng = np.random.default_rng(5)
    codes = rng.normal(size=(400, 3)) * [0.12, 0.09, 0.06]
    basis = np.linalg.qr(rng.normal(size=(20, 3)))[0]
    images = 0.5 + codes @ basis.T + 0.01 * rng.normal(size=(400, 20))
    model = TiedAutoencoder(
        (20,), Dense(20, 3, bias=False), TransposedDense(3, 20, bias=False), MSE("image"),
        centred=True,
    ).bind(backend, np.float64)  # fmt: skip
    training = Training(model, Adam(1e-2, schedule=Cosine(1500)), images, batch_size=400)
    for _ in range(1500):
        training.step()
    mean, principal = ledger.principal_components(images, 3)
    wanted = np.square(images - mean - (images - mean) @ principal @ principal.T).sum() / 400
    figures = model.evaluate(images)
    assert figures["squared_error_per_image"] == pytest.approx(wanted, rel=1e-4)
    w = model.ops.to_numpy(model.encoder.w)
    np.testing.assert_allclose(w @ w.T, np.eye(3), atol=1e-3)
    cosines = np.linalg.svd(np.linalg.qr(w.T)[0].T @ principal, compute_uv=False)
    assert cosines.min() > 0.9999
    reconstructed = model.reconstruct(images)
    np.testing.assert_allclose(reconstructed.mean(axis=0), mean, atol=1e-6)


@every_backend
def test_the_mean_is_saved_and_taken_off(backend, tmp_path):
    images, _ = mnist(60)
    recipe = recipes.make("pca", latent=5)
    model = recipe.model.bind(backend)
    Training(model, recipe.optimizer, images, batch_size=30).step()
    mean = images.mean(axis=0) / 255
    np.testing.assert_allclose(model.decode(np.zeros((1, 5)))[0], mean, atol=1e-6)
    minae.save(model, tmp_path / "model.safetensors")
    again = minae.load(tmp_path, backend)
    np.testing.assert_array_equal(again.reconstruct(images), model.reconstruct(images))


def test_refused_ties():
    with pytest.raises(MinaeError, match=r"tied to Dense\(12, 3\), found Dense\(12, 4\)"):
        TransposedDense(3, 12).tie(Dense(12, 4))
    with pytest.raises(MinaeError, match="as many TransposedDense layers as Dense ones"):
        TiedAutoencoder((12,), Dense(12, 3), Dense(3, 12), MSE())
