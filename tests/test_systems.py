"""The models beyond the plain ones: their gradients, against differences and PyTorch, and whether
each does what its recipe says."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

import minae
from minae import MinaeError, io, ledger, recipes
from minae.backends.spec import ACTIVATIONS
from minae.layers import Dense, Dropout, GaussianNoise, MaskingNoise, Sequential
from minae.losses import MSE, BCEWithLogits
from minae.models import (
    Autoencoder,
    Classifier,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    ImportanceWeightedAutoencoder,
    SparseAutoencoder,
    TiedAutoencoder,
)
from minae.models.contractive import jacobian_norms
from minae.models.tied import TransposedDense
from minae.optim import Adam, Cosine
from minae.training import Training, average_loss
from tests.examples import BACKENDS, mnist
from tests.torch_layers import activate

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


# ------------------------------------------------------------------ every recipe
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


# ------------------------------------------------------------------ denoising
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


# ------------------------------------------------------------------ contractive
def contractive(sizes, activations, weight, reduction="mean", slope=0.3):
    layers = [
        Dense(C, K, activation, slope)
        for (C, K), activation in zip(pairwise(sizes), activations, strict=True)
    ]
    return ContractiveAutoencoder(
        input_shape=(sizes[0],),
        encoder=layers[0] if len(layers) == 1 else Sequential(*layers),
        decoder=Dense(sizes[-1], sizes[0]),
        loss=MSE(reduction),
        weight=weight,
    )


def torch_penalty(model, w, x):
    """(code, Σ ‖J‖²_F): row by row of J by backpropagation with create_graph."""
    x = x.requires_grad_()
    z = x
    for i, layer in enumerate(model.layers):
        path = "encoder" if len(model.layers) == 1 else f"encoder.{i}"
        a = F.linear(z, w[f"{path}.w"], w[f"{path}.b"])
        z = activate(a, layer.activation, layer.slope)
    rows = [
        torch.autograd.grad(z[:, k].sum(), x, create_graph=True, materialize_grads=True)[0]
        for k in range(z.shape[1])
    ]
    return z, torch.stack(rows, dim=1)  # (N, K), (N, K, D)


def check_contractive(model, backend, images):
    model.bind(backend, np.float64, seed=2)
    cache = loaded(model, images)
    w = weights_of(model)
    x = torch.from_numpy(images)
    z, J = torch_penalty(model, w, x)
    reconstruction = F.mse_loss(F.linear(z, w["decoder.w"], w["decoder.b"]), x.detach())
    penalty = model.weight * J.square().sum() / len(x)
    if model.loss.reduction == "sum":
        reconstruction, penalty = reconstruction * x.numel(), penalty * len(x)
    loss = reconstruction + penalty
    assert value_of(model, cache, "penalty") == pytest.approx(penalty.item(), rel=1e-10)
    assert value_of(model, cache) == pytest.approx(loss.item(), rel=1e-10)
    norms = J.square().sum(dim=(1, 2)).sqrt()
    np.testing.assert_allclose(jacobian_norms(model, images), norms.detach(), rtol=1e-10)
    check_gradients(model, w, loss)


@every_backend
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_contractive_layer_like_double_backward(activation, backend):
    images = np.random.default_rng(0).uniform(size=(5, 12))
    check_contractive(contractive((12, 7), [activation], 0.6), backend, images)


@every_backend
@pytest.mark.parametrize(
    "activations",
    [
        ("tanh", "sigmoid"),
        ("softplus", "identity"),
        ("elu", "tanh", "softplus"),
        ("relu", "sigmoid"),
        ("leaky_relu", "elu"),
    ],
)
def test_contractive_stack_like_double_backward(activations, backend):
    images = np.random.default_rng(1).uniform(size=(4, 9))
    sizes = (*(9, 7, 5, 3)[: len(activations)], 4)
    for reduction in ("mean", "sum"):
        check_contractive(contractive(sizes, activations, 0.6, reduction), backend, images)


@every_backend
def test_the_closed_form_is_double_backpropagation_of_one_layer(backend):
    """The stack's way, made to serve a single layer by an identity layer behind it."""
    images = np.random.default_rng(2).uniform(size=(6, 10))
    one = contractive((10, 4), ["tanh"], 0.5).bind(backend, np.float64)
    two = contractive((10, 4, 4), ["tanh", "identity"], 0.5).bind(backend, np.float64)
    for name in ("w", "b"):
        two.parameters.assign(f"encoder.0.{name}", one.ops.to_numpy(getattr(one.encoder, name)))
        two.parameters.assign(f"decoder.{name}", one.ops.to_numpy(getattr(one.decoder, name)))
    two.parameters.assign("encoder.1.w", np.eye(4))
    two.parameters.assign("encoder.1.b", np.zeros(4))
    caches = [loaded(model, images) for model in (one, two)]
    assert value_of(two, caches[1]) == pytest.approx(value_of(one, caches[0]), rel=1e-12)
    found = one.ops.to_numpy(two.parameters.gradient_views["encoder.0.w"])
    wanted = one.ops.to_numpy(one.parameters.gradient_views["encoder.w"])
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@every_backend
def test_contraction_lowers_the_jacobian(backend):
    images, _ = mnist(300)
    norms = []
    for weight in (0.0, 0.1):
        recipe = recipes.make("contractive")
        recipe.model.weight = weight
        model = recipe.model.bind(backend)
        training = Training(model, recipe.optimizer, images, batch_size=50)
        for _ in range(100):
            training.step()
        norms.append(model.evaluate(images)["jacobian_norm"])
        np.testing.assert_allclose(norms[-1], jacobian_norms(model, images).mean())
    assert norms[1] < 0.5 * norms[0]


def test_refused_encoders_and_weights():
    with pytest.raises(MinaeError, match="a Dense layer or a Sequential of them, found Dropout"):
        ContractiveAutoencoder(
            (4,), Sequential(Dense(4, 3), Dropout(0.5)), Dense(3, 4), MSE(), weight=1.0
        )
    with pytest.raises(MinaeError, match="weight of a penalty must be 0 or greater, found -1"):
        contractive((4, 3), ["tanh"], -1)


# ------------------------------------------------------------------ sparse
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


# ------------------------------------------------------------------ tied
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


# ------------------------------------------------------------------ importance weighting
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


# ------------------------------------------------------------------ classifier
@every_backend
def test_classifier(backend, tmp_path):
    """Like PyTorch, learns, and comes back from its file."""
    images, labels = mnist(400)
    model = Classifier((784,), Dense(784, 30, "relu"), Dense(30, 10)).bind(backend, np.float64)
    cache = loaded(model, images[:20], labels[:20])
    w, x = weights_of(model), torch.from_numpy(images[:20] / 255)
    h = torch.relu(F.linear(x, w["encoder.w"], w["encoder.b"]))
    logits = F.linear(h, w["head.w"], w["head.b"])
    loss = F.cross_entropy(logits, torch.from_numpy(labels[:20]))
    assert value_of(model, cache) == pytest.approx(loss.item(), rel=1e-10)
    check_gradients(model, w, loss)
    np.testing.assert_allclose(model.logits(images[:20]), logits.detach(), rtol=1e-10)

    training = Training(model, Adam(3e-3), images, labels, batch_size=50)
    for _ in range(120):
        training.step()
    figures = model.evaluate(images, labels)
    assert figures["error_rate"] == np.mean(model.predict(images) != labels) < 0.05
    assert figures["cross_entropy_nats"] == pytest.approx(
        average_loss(model, images, labels)["loss"], rel=1e-12
    )
    io.save(model, tmp_path / "model.safetensors")
    again = io.load(tmp_path, backend)
    np.testing.assert_array_equal(again.predict(images), model.predict(images))


def test_an_encoder_can_be_taken_over():
    images, _ = mnist(10)
    before = Autoencoder((784,), Dense(784, 30, "relu"), Dense(30, 784), MSE()).bind("numpy")
    model = Classifier((784,), Dense(784, 30, "relu"), Dense(30, 10)).bind("numpy", seed=5)
    model.take_encoder(before)
    np.testing.assert_array_equal(model.encode(images), before.encode(images))
    with pytest.raises(MinaeError, match=r"shape \(3,\), wanted \(10,\)"):
        Classifier((784,), Dense(784, 30), Dense(30, 3))
