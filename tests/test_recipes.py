"""Every recipe: its gradient is the slope of its loss, and what some of them say is so."""

import numpy as np
import pytest

from minae import recipes
from minae.models import DenoisingAutoencoder
from minae.training import Training
from tests.examples import mnist
from tests.model_gradients import every_backend, loaded, value_of


@every_backend
@pytest.mark.parametrize("name", recipes.image_recipes())
def test_the_gradient_is_the_slope_of_the_loss(name, backend):
    """Along random directions of all weights at once, by central differences in float64."""
    recipe = recipes.make(name)
    model = recipe.model.bind(backend, np.float64, 3)
    images, labels = mnist(6)
    cache = loaded(model, images, None if model.classes is None else labels)
    parameters, ops, rng = model.parameters, model.ops, np.random.default_rng(0)
    gradients = {p: ops.to_numpy(g) for p, g in parameters.gradient_views.items()}
    before = {p: ops.to_numpy(v) for p, v in parameters.views.items()}
    for _ in range(3):
        way = {p: rng.normal(size=v.shape) / np.sqrt(v.size) for p, v in before.items()}
        sides = []
        for h in (1e-6, -1e-6):
            for path, values in before.items():
                parameters.assign(path, values + h * way[path])
            model.forward(cache)
            sides.append(value_of(model, cache))
        slope = (sides[0] - sides[1]) / 2e-6
        assert sum(np.vdot(gradients[p], way[p]) for p in way) == pytest.approx(slope, rel=2e-5)


@every_backend
@pytest.mark.parametrize("name", recipes.image_recipes())
def test_bytes_train_as_floats_do(name, backend, monkeypatch):
    """A first layer that multiplies leaves out zeros, wherever it may, sees what the others see."""
    images, labels = mnist(60)
    losses = []
    for given in (images, images / 255):
        recipe = recipes.make(name)
        model = recipe.model.bind(backend, np.float64, recipe.seed)
        monkeypatch.setattr(model.ops, "sparse_pays", lambda *arguments: True)
        training = Training(model, recipe.optimizer, given, labels, batch_size=20, seed=recipe.seed)
        losses.append([value_of(model, training.step()) for _ in range(4)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)


def test_a_hyphen_is_an_underscore_of_the_file():
    assert isinstance(recipes.make("conv-denoising").model, DenoisingAutoencoder)
    assert recipes.summary("beta-vae").startswith("beta-vae (M13)")


def after(name, steps, backend="numba", **options):
    """A recipe's model after some steps on 500 images."""
    recipe = recipes.make(name, **options)
    model = recipe.model.bind(backend, np.float32, recipe.seed)
    training = Training(model, recipe.optimizer, mnist(500)[0], batch_size=50)
    for _ in range(steps):
        training.step()
    return model


@every_backend
def test_an_overcomplete_code_copies_damage(backend):
    """Its output is nearer to what it was given than to what that was before; a small code's is
    not so near."""
    images = mnist(500)[0] / 255
    damaged = images * (np.random.default_rng(8).random(images.shape) < 0.5)
    ratios = {}
    for latent in (1024, 30):
        y = after("overcomplete", 600, backend, latent=latent).reconstruct(damaged)
        ratios[latent] = np.square(y - damaged).sum() / np.square(y - images).sum()
    assert ratios[1024] < 0.5
    assert ratios[1024] < 0.7 * ratios[30]


@every_backend
def test_a_beta_above_1_lowers_the_divergence(backend):
    images, _ = mnist(500)
    vae, beta_vae = (after(name, 200, backend).evaluate(images) for name in ("vae", "beta-vae"))
    assert beta_vae["kl_nats"] < 0.6 * vae["kl_nats"]
    assert beta_vae["reconstruction_nats"] > vae["reconstruction_nats"]
