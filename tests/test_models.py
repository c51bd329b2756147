"""What one does with a model: encode, decode, reconstruct, sample, evaluate; what is refused."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minae import MinaeError, recipes
from minae.layers import Dense
from minae.losses import BCE, L1, MSE, BCEWithLogits, Loss, MixedLoss, SoftmaxCrossEntropy
from minae.models import Autoencoder, ConditionalVAE, VariationalAutoencoder
from minae.models.model import CHUNK
from minae.optim import Adam
from minae.random import EVALUATION
from minae.training import Training, average_loss
from tests.examples import BACKENDS, convolutional, labels_for, mnist

every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_recipe = pytest.mark.parametrize("name", recipes.image_recipes())
VARIATIONAL = ("vae", "cvae", "beta-vae", "iwae")
LINEAR = ("overcomplete", "pca")  # their outputs are not held in [0, 1]


def bound(name, backend="numpy", dtype="float32", **options):
    recipe = recipes.make(name, **options)
    return recipe.model.bind(backend, dtype, recipe.seed)


# ------------------------------------------------------------------ shapes and ranges
@every_backend
@every_recipe
def test_shapes_and_ranges(name, backend):
    """More images than go through the network at once, in uint8 and as floats."""
    images, labels = mnist(CHUNK + 7)
    model = bound(name, backend)
    given = labels_for(model, labels)
    codes = model.encode(images, *given)
    assert codes.shape == (CHUNK + 7, model.code)
    assert np.isfinite(codes).all()
    y = model.decode(codes, *given)
    assert y.shape == (CHUNK + 7, 784)
    assert name in LINEAR or 0 <= y.min() < y.max() <= 1
    assert codes.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(model.reconstruct(images, *given), y)
    for floats in (images / np.float32(255), images / 255, (images / 255).reshape(-1, 28, 28)):
        np.testing.assert_allclose(model.encode(floats, *given), codes, atol=2e-5)
    # each image's code is its own, whatever comes with it (matrix products round otherwise)
    some = slice(CHUNK - 2, CHUNK + 3)
    alone = model.encode(images[some], *labels_for(model, labels[some]))
    np.testing.assert_allclose(alone, codes[some], atol=2e-5)
    np.testing.assert_allclose(
        model.decode(codes[some], *labels_for(model, labels[some])), y[some], atol=2e-5
    )


@every_backend
@pytest.mark.parametrize("name", VARIATIONAL)
def test_samples(name, backend):
    model = bound(name, backend)
    labels = np.arange(12) % 10
    given = {} if model.classes is None else {"labels": labels}
    pictures = model.sample(12, seed=3, **given)
    assert pictures.shape == (12, 784)
    assert 0 < pictures.min() < pictures.max() < 1
    np.testing.assert_array_equal(model.sample(12, seed=3, **given), pictures)
    assert np.abs(model.sample(12, seed=4, **given) - pictures).max() > 1e-3
    fewer = {} if model.classes is None else {"labels": labels[:5]}
    np.testing.assert_allclose(model.sample(5, seed=3, **fewer), pictures[:5], atol=1e-5)
    assert len(np.unique(pictures.round(4), axis=0)) == 12


def test_backends_agree():
    images, labels = mnist(30)
    for name in recipes.image_recipes():
        found = []
        for backend in BACKENDS:
            model = bound(name, backend, "float64")
            given = labels_for(model, labels)
            found.append((model.reconstruct(images, *given), model.evaluate(images, *given)))
        # where terms of 0.1 cancel to 3e-6, their last bits are what differs
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-11, atol=1e-15)
        assert found[0][1] == pytest.approx(found[1][1], rel=1e-11), name


# ------------------------------------------------------------------ against PyTorch
def torch_decoder(model, codes):
    """The decoder of the recipe "vae" in PyTorch, with the model's weights: logits."""
    w = {path: torch.from_numpy(values) for path, values in model.parameters.to_numpy().items()}
    h = torch.relu(F.linear(codes, w["decoder.0.w"], w["decoder.0.b"]))
    return F.linear(h, w["decoder.1.w"], w["decoder.1.b"])


@every_backend
def test_vae_encodes_to_the_mean_and_decodes_to_pixels(backend):
    images, _ = mnist(20)
    model = bound("vae", backend, "float64")
    w = {path: torch.from_numpy(values) for path, values in model.parameters.to_numpy().items()}
    x = torch.from_numpy(images / 255)
    h = torch.relu(F.linear(x, w["encoder.0.w"], w["encoder.0.b"]))
    mean, log_var = F.linear(h, w["encoder.1.w"], w["encoder.1.b"]).chunk(2, dim=1)
    np.testing.assert_allclose(model.encode(images), mean, rtol=1e-10)
    wanted = torch.sigmoid(torch_decoder(model, mean))
    np.testing.assert_allclose(model.decode(mean.numpy()), wanted, rtol=1e-10)

    figures = model.evaluate(images)
    assert figures["mse_per_pixel"] == pytest.approx(F.mse_loss(wanted, x).item(), rel=1e-10)
    bce = F.binary_cross_entropy(wanted, x).item()
    assert figures["bce_per_pixel"] == pytest.approx(bce, rel=1e-10)
    kl = (mean**2 + log_var.exp() - 1 - log_var).sum().item() / 2 / 20
    assert figures["kl_nats"] == pytest.approx(kl, rel=1e-10)
    nats = figures["reconstruction_nats"] + figures["kl_nats"]
    assert figures["nats_per_image"] == pytest.approx(nats, rel=1e-12)
    ops, eps = model.ops, model.ops.empty((20, 20), np.float64)
    step, rows = ops.zeros((1,), np.int64), ops.asarray(np.arange(20), np.int64)
    ops.random_normal(0, EVALUATION, step, rows, out=eps)
    z = mean + torch.exp(log_var / 2) * torch.from_numpy(ops.to_numpy(eps))
    nats = F.binary_cross_entropy_with_logits(torch_decoder(model, z), x, reduction="sum") / 20
    assert figures["reconstruction_nats"] == pytest.approx(nats.item(), rel=1e-10)


@every_backend
@pytest.mark.parametrize("beta", [1.0, 0.25])
@pytest.mark.parametrize("reduction", ["image", "sum", "mean"])
def test_nats_do_not_depend_on_reduction_and_beta(reduction, beta, backend):
    """evaluate always reports -ELBO in nats an image, whatever the loss that was trained."""
    images, _ = mnist(20)
    wanted = bound("vae", backend, "float64").evaluate(images)
    recipe = recipes.make("vae")
    recipe.model.loss, recipe.model.beta = BCEWithLogits(reduction), beta
    found = recipe.model.bind(backend, np.float64).evaluate(images)
    assert found == pytest.approx(wanted, rel=1e-12)


@every_backend
@pytest.mark.parametrize(
    ("name", "figure", "factor"),
    [
        ("vanilla", "bce_per_pixel", 1),
        ("deep", "mse_per_pixel", 1),
        ("tanh", "mse_per_pixel", 4),  # the loss is taken in [-1, 1], the figure in [0, 1]
    ],
)
def test_figures_and_average_loss_are_over_the_whole_set(name, figure, factor, backend):
    """In chunks of 500 and 200, as if all at once."""
    images, _ = mnist(CHUNK + 200)
    model = bound(name, backend, "float64")
    figures = model.evaluate(images)
    squared_errors = (model.reconstruct(images) - images / 255) ** 2
    assert figures["mse_per_pixel"] == pytest.approx(squared_errors.mean(), rel=1e-10)
    assert figures["squared_error_per_image"] == pytest.approx(784 * squared_errors.mean())
    loss = average_loss(model, images)["loss"]
    assert loss == pytest.approx(factor * figures[figure], rel=1e-10)


# ------------------------------------------------------------------ models of one's own
@every_backend
def test_a_convolutional_code_is_flat_outside(backend):
    images, _ = mnist(CHUNK + 3)
    model = convolutional().bind(backend)
    training = Training(model, Adam(), images[:40], batch_size=16)
    for _ in range(4):
        training.step()
    assert model.code == 4 * 14 * 14
    codes = model.encode(images)
    assert codes.shape == (CHUNK + 3, 784)
    y = model.decode(codes)
    np.testing.assert_array_equal(model.reconstruct(images), y)
    assert 0 < y.min() < y.max() < 1
    # running statistics, no dropout: an image's code does not depend on the others
    np.testing.assert_allclose(model.encode(images[3:4]), codes[3:4], atol=1e-5)


def test_evaluation_leaves_the_model_as_it_was():
    """Between two steps of training, too."""
    images, labels = mnist(50)
    weights = []
    for looked_at in (False, True):
        model = convolutional().bind("numpy")
        training = Training(model, Adam(), images, batch_size=20)
        for _ in range(5):
            training.step()
            if looked_at:
                model.evaluate(images)
                model.encode(images[:20])
                average_loss(model, images, labels)
        weights.append(model.parameters.to_numpy())
    for path in weights[0]:
        np.testing.assert_array_equal(weights[0][path], weights[1][path])


@every_backend
def test_memory_does_not_grow_with_every_number_of_images(backend):
    model, images = convolutional().bind(backend), mnist(60)[0]
    model.encode(images)
    tracemalloc.start()
    try:
        model.encode(images[:59])
        of_one = tracemalloc.get_traced_memory()[0]
        for samples in range(40, 59):
            model.encode(images[:samples])
        assert tracemalloc.get_traced_memory()[0] < 1.5 * of_one
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", recipes.image_recipes())
def test_training_learns(name):
    """A few images, seen some times, are reconstructed better than at first."""
    images, labels = mnist(40)
    recipe = recipes.make(name)
    model = recipe.model.bind("numpy", seed=recipe.seed)
    given = labels_for(model, labels)
    before = model.evaluate(images, *given)["mse_per_pixel"]
    training = Training(model, recipe.optimizer, images, labels, batch_size=20)
    for _ in range(30):
        training.step()
    assert model.evaluate(images, *given)["mse_per_pixel"] < 0.75 * before


# ------------------------------------------------------------------ what is refused
@every_recipe
def test_refused_images_and_codes(name):
    model = bound(name)
    labels = labels_for(model, np.zeros(3, np.int64))
    good = np.zeros((3, 784), np.uint8)
    for images, message in (
        (good[:, 1:], r"shape \(M, 784\), M >= 1, found \(3, 783\)"),
        (good[0], r"shape \(M, 784\), M >= 1, found \(784,\)"),
        (good[:0], r"shape \(M, 784\), M >= 1, found \(0, 784\)"),
        (good.astype(np.int32), r"uint8 or float in \[0, 1\], found int32"),
        (good + 1.5, r"float samples lie in \[0, 1\], found 1.5 \.\.\. 1.5"),
        (np.full((3, 784), np.nan), r"float samples lie in \[0, 1\], found nan"),
    ):
        for method in (model.encode, model.reconstruct, model.evaluate):
            with pytest.raises(MinaeError, match=message):
                method(images, *labels)
    for codes in (np.zeros((3, model.code + 1)), np.zeros(model.code), np.zeros((0, model.code))):
        with pytest.raises(MinaeError, match=rf"codes of shape \(M, {model.code}\), M >= 1, found"):
            model.decode(codes, *labels)


def test_refused_labels():
    model = bound("cvae", classes=4)
    images, codes = np.zeros((3, 784), np.uint8), np.zeros((3, 50))
    for labels, message in (
        (None, "conditioned on labels: give one a sample"),
        ([0, 1], r"whole numbers of shape \(3,\), found int64 of shape \(2,\)"),
        ([0.0, 1.0, 2.0], r"whole numbers of shape \(3,\), found float64"),
        ([0, 1, 4], r"labels are 0 \.\.\. 3, found 0 \.\.\. 4"),
        ([-1, 1, 3], r"labels are 0 \.\.\. 3, found -1 \.\.\. 3"),
    ):
        for run in (
            lambda labels: model.encode(images, labels),
            lambda labels: model.decode(codes, labels),
            lambda labels: model.reconstruct(images, labels),
            lambda labels: model.evaluate(images, labels),
            lambda labels: model.sample(3, labels=labels),
        ):
            with pytest.raises(MinaeError, match=message):
                run(labels)
    assert model.sample(3, labels=np.array([0, 1, 3], np.uint8)).shape == (3, 784)


def test_labels_choose_the_class():
    """The label reaches the decoder, sample by sample."""
    model = bound("cvae")
    z = np.tile(np.random.default_rng(0).normal(size=(1, 50)), (11, 1))
    y = model.decode(z, np.arange(11) % 10)
    np.testing.assert_allclose(y[10], y[0], atol=1e-6)
    assert len(np.unique(y[:10].round(5), axis=0)) == 10
    order = np.array([3, 7, 1])
    np.testing.assert_allclose(model.decode(z[:3], order), y[order], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Autoencoder((784,), Dense(784, 9), Dense(9, 783), MSE()),
            r"the decoder gives samples of shape \(783,\), wanted \(784,\)",
        ),
        (
            lambda: Autoencoder((784,), Dense(783, 9), Dense(9, 784), MSE()),
            r"\(N, 783\), found \(1, 784\)",
        ),
        (
            lambda: VariationalAutoencoder((784,), 9, Dense(784, 9), Dense(9, 784), MSE()),
            r"mean and log-variance, shape \(N, 18\), found \(1, 9\)",
        ),
        (
            lambda: VariationalAutoencoder((784,), 9, Dense(784, 18), Dense(9, 5), MSE()),
            r"the decoder gives samples of shape \(5,\), wanted \(784,\)",
        ),
        (
            lambda: ConditionalVAE((4,), 1, Dense(4, 2), Dense(1, 4), MSE(), beta=0.0),
            "beta must be greater than 0, found 0.0",
        ),
        (lambda: BCE("average"), "unknown reduction 'average'; choose one of mean, image, sum"),
    ],
)
def test_refused_when_made(make, message):
    with pytest.raises(MinaeError, match=message):
        make()


def test_recipes_refuse_unknown_names_and_options():
    with pytest.raises(MinaeError, match=r"unknown recipe 'gan'; choose one of vae, vanilla"):
        recipes.make("gan")
    with pytest.raises(MinaeError, match=r"'vae' has no option --faithful; recipes .*: cvae"):
        recipes.make("vae", faithful=True)


# ------------------------------------------------------------------ losses
def torch_loss(loss, y, t):
    """The loss in PyTorch, summed over all elements."""
    match loss:
        case BCEWithLogits():
            return F.binary_cross_entropy_with_logits(y, t, reduction="sum")
        case BCE():
            return F.binary_cross_entropy(y, t, reduction="sum")
        case MSE():
            return F.mse_loss(y, t, reduction="sum")
        case L1():
            return F.l1_loss(y, t, reduction="sum")
        case MixedLoss():  # of numbers alone; words: tests/test_tasks.py
            return F.mse_loss(y, t, reduction="sum") / 2
        case SoftmaxCrossEntropy():
            return F.cross_entropy(y, t, reduction="sum")


@every_backend
@pytest.mark.parametrize("shape", [(5, 7), (4, 2, 3, 3)])
@pytest.mark.parametrize("reduction", ["mean", "image", "sum"])
@pytest.mark.parametrize("kind", Loss.types.values(), ids=Loss.types)
def test_loss(kind, reduction, shape, backend):
    """Value and gradient, with the divisor that the reduction's name promises."""
    ops = bound("vanilla", backend).ops
    rng = np.random.default_rng(0)
    loss = kind(reduction, numeric=shape[1]) if kind is MixedLoss else kind(reduction)
    y, t = rng.uniform(0.1, 0.9, shape), rng.uniform(size=shape)
    if kind is SoftmaxCrossEntropy:
        y, t = rng.normal(size=shape[:2]), rng.integers(0, shape[1], shape[0])
    divisor = {"mean": t.size, "image": len(t), "sum": 1}[reduction]
    y_tensor = torch.from_numpy(y).requires_grad_()
    wanted = torch_loss(loss, y_tensor, torch.from_numpy(t)) / divisor
    value, dy = ops.zeros((1,), np.float64), ops.empty(y.shape, np.float64)
    loss(ops, ops.asarray(y), ops.asarray(t), value=value, dy=dy)
    assert ops.to_numpy(value)[0] == pytest.approx(wanted.item(), rel=1e-12)
    gradient = torch.autograd.grad(wanted, y_tensor)[0]
    np.testing.assert_allclose(ops.to_numpy(dy), gradient, rtol=1e-10)
    value[:] = 0.0
    loss(ops, ops.asarray(y), ops.asarray(t), value=value, dy=None)
    assert ops.to_numpy(value)[0] == pytest.approx(wanted.item(), rel=1e-12)


def test_units_are_named():
    units = {kind: (kind("mean").unit, kind("sum").unit) for kind in (BCE, MSE, L1)}
    assert units[BCE] == ("nats a pixel", "nats an image")
    assert units[MSE] == ("squared error a pixel", "squared error an image")
    assert units[L1] == ("absolute error a pixel", "absolute error an image")
