"""The reconstruction energy: its gradient by the pixels, and what its descent fills in."""

import numpy as np
import pytest
from examples import mnist

from minae import inpainting, recipes
from minae.errors import MinaeError
from minae.inpainting import Energy
from minae.layers import BatchNorm1d, Dense, Sequential
from minae.losses import MSE
from minae.models import Autoencoder

LARGE, LARGER_OUT = "hinton", "super-resolution"
RECIPES = tuple(name for name in recipes.image_recipes() if name not in (LARGE, LARGER_OUT))


def small(recipe, backend, dtype=np.float64):
    """A recipe's model, its weights drawn and scaled so that no activation is flat."""
    return recipes.make(recipe).model.bind(backend, dtype, seed=3)


def loaded(model, N):
    """The energy of some random images, away from ReLU's kink."""
    energy = Energy(model, N)
    images = np.random.default_rng(0).random((N, 784))
    labels = model.device_labels(np.arange(N) % 10, N)
    rows = model.ops.asarray(np.arange(N), np.int64)
    model.load(model.device_images(images), labels, rows, energy.cache)
    return energy


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_gradient_by_the_pixels(recipe, backend):
    model = small(recipe, backend)
    energy, h = loaded(model, 3), 1e-6
    energy.forward()
    dx = model.ops.to_numpy(energy.backward()).reshape(3, -1).copy()
    x = energy.cache.pixels
    rng = np.random.default_rng(1)
    for _ in range(6):  # along random directions: every pixel has its part
        direction = rng.normal(size=x.shape)
        kept = x.copy()
        sides = []
        for sign in (1, -1):
            x[...] = kept + sign * h * direction
            sides.append(energy.forward())
        x[...] = kept
        difference = (sides[0] - sides[1]) / (2 * h)
        assert np.sum(dx * direction) == pytest.approx(difference, rel=1e-5, abs=1e-4)


def test_a_model_whose_output_is_larger_than_its_input_is_refused():
    with pytest.raises(MinaeError, match=r"makes .* of .*no reconstruction"):
        Energy(small(LARGER_OUT, "numpy"), 2)


def test_energy_is_half_the_squared_reconstruction_error():
    model = small("vae", "numpy")
    energy = loaded(model, 4)
    images = np.random.default_rng(0).random((4, 784))
    wanted = 0.5 * np.sum((model.reconstruct(images) - images) ** 2)
    assert energy.forward() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("recipe", ["vanilla", "tanh", "vae"])
def test_known_pixels_stay_and_the_energy_falls(recipe):
    model = small(recipe, "numpy", np.float32)
    images = mnist(6)[0]
    missing = inpainting.mask("random", 6, (28, 28), 0.4, seed=0)
    energies = []
    for steps in (1, 20, 100):
        filled = inpainting.inpaint(model, images, missing, steps=steps)
        np.testing.assert_allclose(filled[~missing], (images / 255)[~missing], atol=1e-7)
        assert filled.min() >= 0
        assert filled.max() <= 1
        energies.append(np.sum((model.reconstruct(filled) - filled) ** 2))
    assert energies[0] > energies[1] > energies[2]


def test_missing_pixels_are_not_looked_at():
    model = small("vae", "numpy")
    images = mnist(3)[0]
    missing = inpainting.mask("half", 3, (28, 28), 0.5, seed=0)
    other = np.where(missing, 255 - images, images).astype(np.uint8)
    for method in ("energy", "iterate", "direct"):
        filled = [inpainting.inpaint(model, i, missing, method=method) for i in (images, other)]
        np.testing.assert_array_equal(*filled)


def test_iterating_takes_the_reconstruction():
    model = small("vae", "numpy")
    images = mnist(3)[0] / 255
    missing = inpainting.mask("square", 3, (28, 28), 0.1, seed=0)
    once = np.where(missing, model.reconstruct(np.where(missing, 0.5, images)), images)
    filled = inpainting.inpaint(model, images, missing, method="iterate", steps=1)
    np.testing.assert_allclose(filled, once, atol=1e-12)
    twice = np.where(missing, model.reconstruct(once), images)
    filled = inpainting.inpaint(model, images, missing, method="iterate", steps=2)
    np.testing.assert_allclose(filled, twice, atol=1e-12)


def test_masks():
    for kind, share in (("random", 0.3), ("square", 0.25), ("half", 0.5)):
        missing = inpainting.mask(kind, 200, (28, 28), share, seed=1)
        assert missing.shape == (200, 784)
        assert missing.mean() == pytest.approx(share, abs=0.01)
    with pytest.raises(MinaeError, match="does not fit in 10×40"):
        inpainting.mask("square", 1, (10, 40), 0.9, seed=0)


def test_mistakes():
    model = small("vanilla", "numpy")
    images = np.zeros((2, 784))
    with pytest.raises(MinaeError, match="unknown method 'best'"):
        inpainting.inpaint(model, images, images > 0, method="best")
    with pytest.raises(MinaeError, match="are of one shape"):
        inpainting.inpaint(model, images, images[:1] > 0)
    normalized = Autoencoder(
        (784,),
        Sequential(Dense(784, 4), BatchNorm1d(4)),
        Dense(4, 784, activation="sigmoid"),
        MSE(),
    ).bind("numpy")
    with pytest.raises(MinaeError, match="backward needs a forward in training mode"):
        inpainting.inpaint(normalized, images, images == 0)


def test_classical_methods_fill_a_smooth_picture():
    pytest.importorskip("cv2", reason="OpenCV is an optional extra")
    y, x = np.mgrid[0:28, 0:28]
    picture = np.round(255 * (0.2 + 0.6 * (x + y) / 54)).astype(np.uint8).reshape(1, 784)
    missing = inpainting.mask("random", 1, (28, 28), 0.3, seed=0)
    damaged = np.where(missing, 0, picture).astype(np.uint8)
    for method in ("telea", "navier-stokes"):
        filled = inpainting.classical(damaged, missing, (28, 28), method)
        assert np.abs(filled - picture / 255).max() < 0.1
