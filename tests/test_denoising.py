"""Denoising autoencoders: the damage, the loss against PyTorch, and how they are compared."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minae import MinaeError, ledger, recipes
from minae.layers import Dense, GaussianNoise, MaskingNoise
from minae.losses import MSE
from minae.models import DenoisingAutoencoder
from minae.optim import Adam
from minae.training import Training
from tests.examples import mnist
from tests.model_gradients import check_gradients, every_backend, loaded, value_of, weights_of


def denoiser(noise, pixel_range=(-1.0, 1.0)):
    return DenoisingAutoencoder(
        (784,), Dense(784, 20, "tanh"), Dense(20, 784, "tanh"), MSE(), pixel_range, noise
    )


@every_backend
def test_masking_drops_half_and_leaves_the_rest_as_it_is(backend):
    images, _ = mnist(40)
    model = denoiser(MaskingNoise(0.5)).bind(backend, np.float64)
    damaged = model.damage(images, seed=1)
    missing = damaged == 0.5  # 0 in [-1, 1]
    assert abs(missing.mean() - 0.5) < 5 * 0.5 / np.sqrt(missing.size)
    np.testing.assert_allclose(damaged[~missing], (images / 255)[~missing], atol=1e-12)
    np.testing.assert_array_equal(model.damage(images, seed=1), damaged)
    assert (model.damage(images, seed=2) != damaged).mean() > 0.1


@every_backend
def test_gaussian_noise_is_of_its_standard_deviation_and_leaves_0_to_1(backend):
    images, _ = mnist(40)
    model = denoiser(GaussianNoise(0.4)).bind(backend)
    noise = 2 * (model.damage(images) - images / 255)  # in [-1, 1]
    assert noise.std() == pytest.approx(0.4, rel=0.02)
    assert abs(noise.mean()) < 5 * 0.4 / np.sqrt(noise.size)
    assert model.denoise(model.damage(images)).shape == images.shape


@every_backend
@pytest.mark.parametrize("noise", [MaskingNoise(0.5), GaussianNoise(0.3)])
def test_the_target_is_clean_and_the_input_is_not(noise, backend):
    """The loss in PyTorch, given what the model drew."""
    images, _ = mnist(5)
    model = denoiser(noise).bind(backend, np.float64)
    cache = loaded(model, images)
    w = weights_of(model)
    x = torch.from_numpy(images / 127.5 - 1)
    if isinstance(noise, MaskingNoise):
        noisy = x * torch.from_numpy(model.ops.to_numpy(cache.noise.mask))
    else:
        noisy = x + 0.3 * torch.from_numpy(model.ops.to_numpy(cache.noise.eps))
    z = torch.tanh(F.linear(noisy, w["encoder.w"], w["encoder.b"]))
    loss = F.mse_loss(torch.tanh(F.linear(z, w["decoder.w"], w["decoder.b"])), x)
    assert value_of(model, cache) == pytest.approx(loss.item(), rel=1e-10)
    check_gradients(model, w, loss)


def test_noise_is_named_by_step_and_sample_and_absent_outside_training():
    images, _ = mnist(30)
    model = denoiser(MaskingNoise(0.5)).bind("numpy")
    training = Training(model, Adam(), images, batch_size=10, shuffle=False)
    masks = [training.step().noise.mask.copy() for _ in range(6)]  # two epochs
    for mask in masks[1:]:
        assert (mask != masks[0]).any()
    np.testing.assert_array_equal(model.encode(images), model.encode(images))


@every_backend
def test_denoising_learns_to_denoise(backend):
    images, _ = mnist(500)
    recipe = recipes.make("denoising")
    model = recipe.model.bind(backend)
    training = Training(model, recipe.optimizer, images, batch_size=50)
    for _ in range(150):
        training.step()
    figures = model.evaluate(images)
    assert figures["damaged_psnr"] == pytest.approx(9.4, abs=0.3)
    assert figures["denoised_psnr"] > 16


def test_classical_methods_are_given_what_the_model_is_given():
    pytest.importorskip("cv2")
    from bench.inpainting import compare

    images, _ = mnist(20)
    psnr, pictures = compare(denoiser(MaskingNoise(0.5)).bind("numpy"), images)
    assert [*psnr] == ["damaged", "model", "model, known pixels kept", "Telea", "Navier-Stokes"]
    original, damaged, _, *keeping = pictures
    known = damaged != 0.5
    assert 0.4 < known.mean() < 0.6
    for picture in keeping:
        np.testing.assert_allclose(picture[known], original[known], atol=1e-7)
        assert (picture[~known] != original[~known]).any()
    assert psnr["damaged"] < psnr["Telea"] < 25
    assert psnr["damaged"] < psnr["Navier-Stokes"] < 25


def test_psnr_of_known_errors():
    x = np.zeros((2, 4))
    y = np.stack([np.full(4, 0.1), np.full(4, 0.01)])
    assert ledger.mean_psnr(x, y) == pytest.approx((20 + 40) / 2)


def test_refused_damage():
    model = denoiser(MaskingNoise()).bind("numpy")
    with pytest.raises(MinaeError, match=r"finite numbers of shape \(M, D\), M >= 1, found"):
        model.denoise(np.full((2, 784), np.nan))
    for make, message in (
        (lambda: MaskingNoise(1.0), r"p must be in \[0, 1\), found 1.0"),
        (lambda: GaussianNoise(0.0), "std must be greater than 0, found 0.0"),
    ):
        with pytest.raises(MinaeError, match=message):
            make()
