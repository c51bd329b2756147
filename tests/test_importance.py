"""Importance-weighted autoencoders: the bound against PyTorch, and log p by a sum over a grid."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

from minae import MinaeError
from minae.layers import Dense, Dropout, GaussianNoise, MaskingNoise, Sequential
from minae.losses import MSE, BCEWithLogits
from minae.models import ImportanceWeightedAutoencoder
from minae.optim import Adam
from minae.training import Training
from tests.model_gradients import check_gradients, every_backend, loaded, value_of, weights_of


def iwae(k, latent=3):
    return ImportanceWeightedAutoencoder(
        (20,),
        latent,
        Sequential(Dense(20, 9, "tanh"), Dense(9, 2 * latent)),
        Sequential(Dense(latent, 9, "tanh"), Dense(9, 20)),
        BCEWithLogits("image"),
        samples=k,
    )


@every_backend
@pytest.mark.parametrize("k", [1, 4])
def test_iwae_like_torch(k, backend):
    images = np.random.default_rng(6).uniform(size=(5, 20))
    model = iwae(k).bind(backend, np.float64, seed=1)
    cache = loaded(model, images)
    t = torch.from_numpy(model.ops.to_numpy(cache.t))
    assert set(np.unique(t)) == {0.0, 1.0}
    eps = torch.from_numpy(model.ops.to_numpy(cache.eps)).reshape(5, k, 3).transpose(0, 1)
    w = weights_of(model)
    h = torch.tanh(F.linear(t, w["encoder.0.w"], w["encoder.0.b"]))
    mean, log_var = F.linear(h, w["encoder.1.w"], w["encoder.1.b"]).chunk(2, dim=1)
    q = Normal(mean, torch.exp(log_var / 2))
    z = mean + torch.exp(log_var / 2) * eps  # (k, N, Z)
    g = torch.tanh(F.linear(z, w["decoder.0.w"], w["decoder.0.b"]))
    logits = F.linear(g, w["decoder.1.w"], w["decoder.1.b"])
    bce = F.binary_cross_entropy_with_logits(logits, t.expand_as(logits), reduction="none").sum(2)
    log_w = -bce + Normal(0.0, 1.0).log_prob(z).sum(2) - q.log_prob(z).sum(2)
    loss = -(torch.logsumexp(log_w, 0) - np.log(k)).mean()
    assert value_of(model, cache) == pytest.approx(loss.item(), rel=1e-10)
    check_gradients(model, w, loss)


@every_backend
def test_pixels_are_black_or_white_anew_at_every_step(backend):
    model = iwae(1).bind(backend, np.float64)
    images = np.full((200, 20), 0.3)
    images[:, 0], images[:, 1] = 0.0, 1.0
    training = Training(model, Adam(1e-9), images, batch_size=200)
    draws = [model.ops.to_numpy(training.step().t) for _ in range(8)]
    assert not (draws[0] == draws[1]).all()
    for t in draws:
        assert (t[:, 0] == 0).all()
        assert (t[:, 1] == 1).all()
    mean = np.mean([t[:, 2:] for t in draws])
    assert abs(mean - 0.3) < 5 * np.sqrt(0.21 / (8 * 200 * 18))


@every_backend
def test_nll_is_log_p_and_bounds_tighten(backend):
    """One latent number: log p(t) is a sum over a grid."""
    model = iwae(1, latent=1).bind(backend, np.float64, seed=4)
    model.parameters.assign("decoder.0.w", 2 * np.ones((9, 1)))
    model.parameters.assign("decoder.1.w", np.random.default_rng(0).normal(size=(20, 9)))
    images = np.random.default_rng(7).integers(0, 2, (6, 20)).astype(float)  # already binary
    grid = np.linspace(-9, 9, 4001)
    p = np.clip(model.decode(grid[:, None]), 1e-15, 1 - 1e-15)  # (grid, D)
    likelihood = np.exp(np.log(p) @ images.T + np.log(1 - p) @ (1 - images).T)  # (grid, N)
    prior = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
    exact = -np.log(prior @ likelihood * (grid[1] - grid[0]))  # (N,)
    np.testing.assert_allclose(model.nll(images, samples=20_000), exact, atol=0.05)
    means = [np.mean([model.nll(images, k, seed=s).mean() for s in range(40)]) for k in (1, 5, 50)]
    assert means[0] > means[1] > means[2] > exact.mean() - 0.02
    # an image's estimate does not depend on how the others are batched
    many = np.tile(images, (30, 1))[:130]
    np.testing.assert_allclose(model.nll(many, 60)[:6], model.nll(images, 60), rtol=1e-10)


def test_refused_importance_weighting():
    networks = (Dense(20, 6), Dense(3, 20))
    with pytest.raises(MinaeError, match="samples must be 1 or more, found 0"):
        iwae(0)
    with pytest.raises(MinaeError, match="of BCEWithLogits and beta 1, found MSE"):
        ImportanceWeightedAutoencoder((20,), 3, *networks, MSE())


@every_backend
@pytest.mark.parametrize("layer", [Dropout(0.5), MaskingNoise(0.5), GaussianNoise(0.1)])
def test_an_importance_weighted_decoder_draws_nothing(layer, backend):
    """It is given k rows an image, and there is one number of a sample in the data set."""

    def training(encoder, decoder):
        model = ImportanceWeightedAutoencoder((20,), 3, encoder, decoder, BCEWithLogits("image"))
        return Training(model.bind(backend), Adam(), np.full((4, 20), 0.5), batch_size=4)

    training(Sequential(Dense(20, 6), layer), Dense(3, 20)).step()
    with pytest.raises(
        MinaeError, match=r"for each sample of a batch, here 4, and cannot be given"
    ):
        training(Dense(20, 6), Sequential(layer, Dense(3, 20))).step()
