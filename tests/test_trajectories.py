"""Whole trainings, step by step: the same losses on every backend, in the reference, in PyTorch.

PyTorch is given the initial weights, and at each step the batch and epsilon that minae drew; its
networks are written out here, and its conditional VAE really concatenates label planes. Whether
minae draws them as it should is the comparison with `reference/vae.py`, which draws its own.
"""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from minae import MinaeError, get_backend, recipes
from minae.layers import Dense, Sequential
from minae.layers.layer import Strips
from minae.losses import MSE, BCEWithLogits
from minae.models import Autoencoder, VariationalAutoencoder
from minae.optim import SGD, Adam
from minae.training import Training, average_loss
from reference import vae as reference
from reference.sparse import strips_of
from tests.examples import BACKENDS, mnist, walk

STEPS = 20
TOLERANCE = 1e-9

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def losses_of(training, steps=STEPS):
    """The loss of each of the next steps, as the model computed it."""
    ops = training.model.ops
    return [float(ops.to_numpy(training.step().values["loss"])[0]) for _ in range(steps)]


# ------------------------------------------------------------------ the reference VAE
def small_vae(beta):
    return VariationalAutoencoder(
        input_shape=(784,),
        latent=3,
        encoder=Sequential(Dense(784, 24, activation="relu"), Dense(24, 6)),
        decoder=Sequential(Dense(3, 24, activation="relu"), Dense(24, 784)),
        loss=BCEWithLogits(reduction="image"),
        beta=beta,
    )


@cache
def reference_run(samples, **options):
    return reference.train(mnist(samples)[0] / 255, steps=STEPS, **options)


def check_against_reference(model, backend, samples, *, hidden, batch_size, seed, lr, beta):
    """20 losses and, after them, all weights."""
    parameters, losses = reference_run(
        samples,
        seed=seed,
        hidden=hidden,
        latent=model.latent,
        batch_size=batch_size,
        lr=lr,
        beta=beta,
    )
    model.bind(backend, np.float64, seed)
    training = Training(model, Adam(lr), mnist(samples)[0], batch_size=batch_size, seed=seed)
    np.testing.assert_allclose(losses_of(training), losses, rtol=TOLERANCE)
    found = model.parameters.to_numpy()
    assert [*found] == [*reference.NAMES]
    for name, wanted in zip(reference.NAMES, parameters, strict=True):
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-9, err_msg=name)


@every_backend
def test_small_vae_like_the_reference(backend):
    """70 images in batches of 32: seven epochs, each with a smaller last batch."""
    options = {"hidden": 24, "batch_size": 32, "seed": 2**40 + 7, "lr": 1e-2, "beta": 0.7}
    check_against_reference(small_vae(beta=0.7), backend, 70, **options)


@every_backend
def test_default_recipe_like_the_reference(backend):
    recipe = recipes.make("vae")
    options = {"hidden": 400, "batch_size": recipe.batch_size, "seed": recipe.seed}
    check_against_reference(recipe.model, backend, 600, **options, lr=1e-3, beta=1.0)


# ------------------------------------------------------------------ PyTorch
def dense_network(*sizes, activation, last=None):
    """Linear layers with an activation after each; after the last one `last`, or none."""
    parts = []
    for inputs, outputs in pairwise(sizes):
        parts += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*parts[:-1], *([last()] if last else []))


def convolutional_networks():
    encoder = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 32),
    )
    decoder = nn.Sequential(
        nn.Linear(32, 32 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
    )
    return encoder, decoder


def conditional_networks(classes, *, faithful):
    encoder = nn.Sequential(
        nn.Conv2d(1 + classes, 16, 6, stride=2),
        nn.LeakyReLU(0.01),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.LeakyReLU(0.01),
        nn.Conv2d(32, 64, 2, stride=2),
        nn.LeakyReLU(0.01),
        nn.Flatten(),
        nn.Linear(256, 100),
    )
    decoder = nn.Sequential(
        nn.Linear(50 + classes, 256),
        nn.LeakyReLU(0.01),
        nn.Unflatten(1, (64, 2, 2)),
        nn.ConvTranspose2d(64, 32, 2, stride=2),
        nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(32, 16, 4, stride=3, padding=1),
        nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(16, 1, 6, stride=3, padding=4),
        nn.LeakyReLU(0.01) if faithful else nn.Identity(),
    )
    return encoder, decoder


class TorchAutoencoder(nn.Module):
    def __init__(self, encoder, decoder, loss, low=0.0):
        super().__init__()
        self.encoder, self.decoder, self.reconstruction = encoder, decoder, loss
        self.low = low  # what black is

    def losses(self, x, eps, one_hot):
        x = self.low + (1 - self.low) * x
        return (self.reconstruction(self.decoder(self.encoder(x)), x),)


class TorchVAE(TorchAutoencoder):
    """The loss and its two parts; `kl_scale(N)` multiplies the sum of KL over the batch."""

    def __init__(self, encoder, decoder, loss, kl_scale):
        super().__init__(encoder, decoder, loss)
        self.kl_scale = kl_scale

    def losses(self, x, eps, one_hot):
        mean, log_var = self.encoder(self.encoder_input(x, one_hot)).chunk(2, dim=1)
        std = torch.exp(log_var / 2)
        z = mean + std * eps
        reconstruction = self.reconstruction(self.decoder(self.decoder_input(z, one_hot)), x)
        kl = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum() * self.kl_scale(len(x))
        return reconstruction + kl, reconstruction, kl

    def encoder_input(self, x, one_hot):
        return x

    def decoder_input(self, z, one_hot):
        return z


class TorchConditionalVAE(TorchVAE):
    def encoder_input(self, x, one_hot):
        N, classes = one_hot.shape
        planes = one_hot[:, :, None, None].expand(N, classes, 28, 28)
        return torch.cat([x, planes], dim=1)  # (N, 1 + classes, 28, 28)

    def decoder_input(self, z, one_hot):
        return torch.cat([z, one_hot], dim=1)  # (N, 50 + classes)


def nats_an_image(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


def nats_a_batch(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def torch_cvae(faithful):
    networks = conditional_networks(10, faithful=faithful)
    return TorchConditionalVAE(*networks, nats_a_batch, lambda N: 1.0)


JUDGES = {
    "vanilla": lambda: TorchAutoencoder(
        dense_network(784, 32, activation=nn.ReLU, last=nn.LeakyReLU),
        dense_network(32, 784, activation=nn.ReLU),
        F.binary_cross_entropy_with_logits,
    ),
    "deep": lambda: TorchAutoencoder(
        dense_network(784, 128, 64, activation=nn.Sigmoid, last=nn.Sigmoid),
        dense_network(64, 128, 784, activation=nn.Sigmoid, last=nn.Sigmoid),
        F.mse_loss,
    ),
    "tanh": lambda: TorchAutoencoder(
        dense_network(784, 30, activation=nn.Tanh, last=nn.Tanh),
        dense_network(30, 784, activation=nn.Tanh, last=nn.Tanh),
        F.mse_loss,
        low=-1.0,
    ),
    "conv": lambda: TorchAutoencoder(*convolutional_networks(), F.binary_cross_entropy_with_logits),
    "latent": lambda: TorchAutoencoder(
        dense_network(784, 128, 64, 2, activation=nn.ReLU),
        dense_network(2, 64, 128, 784, activation=nn.ReLU, last=nn.Sigmoid),
        F.mse_loss,
    ),
    "vae": lambda: TorchVAE(
        dense_network(784, 400, 40, activation=nn.ReLU),
        dense_network(20, 400, 784, activation=nn.ReLU),
        nats_an_image,
        lambda N: 1 / N,
    ),
    "cvae": lambda: torch_cvae(faithful=False),
    "cvae --faithful": lambda: torch_cvae(faithful=True),
}


def with_weights_of(model, judge):
    """The judge in float64 with the model's initial weights, label weights concatenated."""
    host = model.ops.to_numpy
    ours = [part for net in model.networks().values() for part in walk(net) if part.parameters()]
    theirs = [part for part in judge.modules() if hasattr(part, "weight")]
    assert len(ours) == len(theirs)
    for layer, module in zip(ours, theirs, strict=True):
        weights = [host(layer.w)]
        if hasattr(layer, "w_label"):
            weights.append(host(layer.w_label))
        module.weight = nn.Parameter(torch.from_numpy(np.concatenate(weights, axis=1)))
        module.bias = nn.Parameter(torch.from_numpy(host(layer.b)))
    return judge


def test_a_judge_has_a_recipe():
    """The other recipes have theirs in the tests of their models."""
    assert {name.split()[0] for name in JUDGES} <= set(recipes.RECIPES)


def check_against_torch(name, backend, samples, batch_size=None):
    """20 losses and their parts, in batches of the recipe's size unless given."""
    recipe_name, *faithful = name.split()
    recipe = recipes.make(recipe_name, **({"faithful": True} if faithful else {}))
    images, labels = mnist(samples)
    model = recipe.model.bind(backend, np.float64, recipe.seed)
    judge = with_weights_of(model, JUDGES[name]())
    adam = torch.optim.Adam(judge.parameters(), recipe.optimizer.lr)
    training = Training(
        model,
        recipe.optimizer,
        images,
        labels,
        batch_size=batch_size or recipe.batch_size,
        seed=recipe.seed,
    )
    found, wanted = [], []
    for _ in range(STEPS):
        step = training.step()
        rows = model.ops.to_numpy(step.batch.rows)
        x = torch.from_numpy(images[rows] / 255).reshape(-1, *model.input_shape)
        one_hot = F.one_hot(torch.from_numpy(labels[rows]), 10).double()
        eps = torch.from_numpy(model.ops.to_numpy(step.eps)) if hasattr(step, "eps") else None
        adam.zero_grad()
        losses = judge.losses(x, eps, one_hot)
        losses[0].backward()
        adam.step()
        wanted.append([loss.item() for loss in losses])
        found.append([model.ops.to_numpy(step.values[part])[0] for part in model.parts])
    np.testing.assert_allclose(found, wanted, rtol=TOLERANCE)
    assert found[-1][0] < found[0][0]


CONVOLUTIONAL = ("conv", "cvae", "cvae --faithful")


@every_backend
@pytest.mark.parametrize("name", [name for name in JUDGES if name not in CONVOLUTIONAL])
def test_dense_recipe_like_torch(name, backend):
    check_against_torch(name, backend, 300)


@every_backend
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_recipe_like_torch(name, backend):
    check_against_torch(name, backend, 20, batch_size=8)


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_recipe_like_torch_in_its_own_batches(name, backend):
    check_against_torch(name, backend, 600)


# ------------------------------------------------------------------ precision
@every_backend
@pytest.mark.parametrize("name", recipes.image_recipes())
def test_float32_follows_float64(name, backend):
    images, labels = mnist(40)
    runs = []
    for dtype in (np.float64, np.float32):
        recipe = recipes.make(name)
        model = recipe.model.bind(backend, dtype, recipe.seed)
        training = Training(model, recipe.optimizer, images, labels, batch_size=16)
        runs.append(losses_of(training))
        assert training.step().x.dtype == model.parameters.values.dtype == dtype
    np.testing.assert_allclose(runs[1], runs[0], rtol=2e-4)
    assert runs[0] != runs[1]


# ------------------------------------------------------------------ the training loop
def tiny(backend="numpy", loss=None):
    """A bound autoencoder of 4 numbers a sample."""
    loss = loss or MSE()
    model = Autoencoder((4,), encoder=Dense(4, 2), decoder=Dense(2, 4), loss=loss)
    return model.bind(backend, np.float64, seed=1)


def tiny_images(samples):
    return np.random.default_rng(0).uniform(size=(samples, 4))


@every_backend
def test_each_epoch_visits_every_sample_once_in_a_new_order(backend):
    training = Training(tiny(backend), SGD(0.1), tiny_images(23), batch_size=5, seed=3)
    assert training.steps_per_epoch == 5
    epochs = []
    for epoch in range(3):
        rows = []
        for step in range(5):
            rows.append(training.model.ops.to_numpy(training.step().batch.rows))
            assert training.at_epoch_end == (step == 4)
            assert training.epoch == epoch
        assert [len(batch) for batch in rows] == [5, 5, 5, 5, 3]
        epochs.append(np.concatenate(rows))
        assert sorted(epochs[-1]) == [*range(23)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])


def test_without_shuffle_the_order_is_that_of_the_data():
    training = Training(tiny(), SGD(0.1), tiny_images(7), batch_size=3, shuffle=False)
    rows = [training.step().batch.rows.tolist() for _ in range(6)]
    assert rows == [[0, 1, 2], [3, 4, 5], [6]] * 2


@every_backend
@pytest.mark.parametrize("reduction", ["mean", "image", "sum"])
def test_averages_are_over_samples_whatever_the_batches(reduction, backend):
    """At (almost) no learning rate all losses are of the same weights."""
    model, images = tiny(backend, MSE(reduction)), tiny_images(23)
    weights = {path: torch.from_numpy(w) for path, w in model.parameters.to_numpy().items()}
    x = torch.from_numpy(images)
    z = F.linear(x, weights["encoder.w"], weights["encoder.b"])
    errors = (F.linear(z, weights["decoder.w"], weights["decoder.b"]) - x) ** 2
    wanted = errors.mean() if reduction == "mean" else errors.sum() / 23
    assert average_loss(model, images)["loss"] == pytest.approx(wanted.item(), rel=1e-12)
    training = Training(model, SGD(1e-300), images, batch_size=5)
    for _ in range(2):
        for _ in range(5):
            last = training.step().batch.rows
        assert training.averages() == {"loss": pytest.approx(wanted.item(), rel=1e-12)}
    last = errors[model.ops.to_numpy(last)]
    wanted = last.mean() if reduction == "mean" else last.sum() / 3
    assert training.loss() == pytest.approx(wanted.item(), rel=1e-12)


@every_backend
def test_averages_of_a_vae_hold_its_parts(backend):
    model = small_vae(beta=0.5).bind(backend, np.float64)
    training = Training(model, SGD(1e-300), mnist(20)[0], batch_size=8)
    for _ in range(3):
        training.step()
    means = training.averages()
    assert [*means] == ["loss", "reconstruction", "kl"]
    assert means["loss"] == pytest.approx(means["reconstruction"] + means["kl"], rel=1e-12)
    assert 300 < means["reconstruction"] < 600
    assert 0 < means["kl"] < 10


@every_backend
def test_a_loss_that_is_not_finite_is_reported(backend):
    training = Training(tiny(backend), SGD(1e200), tiny_images(6), batch_size=6)
    with np.errstate(all="ignore"):
        for _ in range(6):
            training.step()
    with pytest.raises(MinaeError, match=r"loss became (nan|inf) by step 6; .* than 1e\+200"):
        training.loss()


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (tiny_images(5)[:, :3], {}, r"shape \(M, 4\), M >= 1, found \(5, 3\)"),
        (tiny_images(0), {}, r"shape \(M, 4\), M >= 1, found \(0, 4\)"),
        (tiny_images(5) * 255, {}, r"float samples lie in \[0, 1\], found \S+ \.\.\. 2\d\d"),
        (np.full((5, 4), np.nan), {}, r"float samples lie in \[0, 1\], found nan"),
        (np.ones((5, 4), np.int64), {}, r"uint8 or float in \[0, 1\], found int64"),
        (tiny_images(5), {"batch_size": 0}, "found batch size 0"),
    ],
)
def test_refused(images, options, message):
    with pytest.raises(MinaeError, match=message):
        Training(tiny(), SGD(0.1), images, **({"batch_size": 2} | options))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "conditioned on labels: give one a sample"),
        (np.zeros(19, np.int64), r"whole numbers of shape \(20,\), found int64 of shape \(19,\)"),
        (np.zeros(20), r"whole numbers of shape \(20,\), found float64"),
        (np.full(20, 10), r"labels are 0 \.\.\. 9, found 10 \.\.\. 10"),
        (np.full(20, -1), r"labels are 0 \.\.\. 9, found -1 \.\.\. -1"),
    ],
)
def test_refused_labels(labels, message):
    recipe = recipes.make("cvae")
    model = recipe.model.bind("numpy")
    with pytest.raises(MinaeError, match=message):
        Training(model, recipe.optimizer, mnist(20)[0], labels, batch_size=8)


@pytest.mark.parametrize("again", ["another model", "the same model", "model alone"])
def test_what_is_bound_to_something_else_is_refused(again):
    """An optimizer that has gone over to another training would leave this one's weights alone."""
    model, other, optimizer = tiny(), tiny(), Adam()
    training = Training(model, optimizer, tiny_images(7), batch_size=3)
    training.step()
    if again == "model alone":
        model.bind("numpy", np.float64)
    else:
        bound = other if again == "another model" else model
        Training(bound, optimizer, tiny_images(7), batch_size=3).step()
    with pytest.raises(MinaeError, match="was bound again after this Training was made"):
        training.step()


# ------------------------------------------------------------------ zeros left out
@every_backend
@pytest.mark.parametrize("name", ["vanilla", "vae"])
def test_leaving_out_zeros_changes_nothing(name, backend, monkeypatch):
    """A first layer that leaves out strips of black pixels, against the dense one."""

    def run(sparse):
        recipe = recipes.make(name)
        model = recipe.model.bind(backend, np.float64, recipe.seed)
        asked = []
        monkeypatch.setattr(model.ops, "sparse_pays", lambda *a: (asked.append(a), sparse)[1])
        training = Training(model, recipe.optimizer, *mnist(200), batch_size=64, seed=1)
        losses = losses_of(training)
        assert {a[0] for a in asked} == {"sparse_matmul", "sparse_weight_gradient"}
        assert (training.strips is not None) == sparse
        return losses

    np.testing.assert_allclose(run(True), run(False), rtol=TOLERANCE)


def test_what_is_not_the_batch_itself_is_multiplied_as_a_whole():
    """Noise before the first layer, and layers after it, are not known by their strips."""
    recipe = recipes.make("vanilla")
    model = recipe.model.bind("numba", np.float64, 0)
    training = Training(model, recipe.optimizer, mnist(256)[0], batch_size=256)
    cache = training.step()
    layer, sparse = model.encoder, cache.batch.sparse
    operation = "sparse_weight_gradient"
    assert layer.sparse_input(operation, cache.x, cache.encoder) is sparse
    assert layer.sparse_input(operation, cache.x.copy(), cache.encoder) is None
    assert model.strips(np.full((5, 784), 1, np.uint8), 256) is None  # no zeros
    assert model.strips(mnist(5)[0] / 255, 256) is None  # floats
    assert recipes.make("tanh").model.bind("numba").strips(mnist(5)[0], 256) is None  # black is -1


def test_strips_are_found_only_where_they_can_pay(monkeypatch):
    """Not for a backend that never leaves zeros out, nor where the last strip is a shorter one,
    which the kernels would leave to a product by the mask."""
    found = []
    monkeypatch.setattr(Strips, "of", lambda ops, images: found.append(ops.name))
    assert recipes.make("vanilla").model.bind("numpy").strips(mnist(9)[0], 256) is None
    model = Autoencoder((30,), Dense(30, 64), Dense(64, 30), MSE()).bind("numba")
    assert model.strips(np.zeros((9, 30), np.uint8), 256) is None
    assert not found


def test_strips_of_large_images(monkeypatch):
    """The last pixels count."""
    D = 2**16 + 8
    images = np.zeros((4, D), np.uint8)
    images[:, -3:], images[:, 5] = 255, 100

    def run(sparse):
        model = Autoencoder((D,), Dense(D, 2), Dense(2, D), MSE("image")).bind("numba", np.float64)
        monkeypatch.setattr(model.ops, "sparse_pays", lambda *_: sparse)
        return losses_of(Training(model, SGD(1e-5), images, batch_size=2), 4)

    np.testing.assert_allclose(run(True), run(False), rtol=TOLERANCE)


def test_strips_are_those_of_the_reference():
    rng = np.random.default_rng(2)
    u = (rng.random((2000, 100)) < 0.1).astype(np.uint8)
    bits, density = Strips.of(get_backend("numpy"), u)
    np.testing.assert_array_equal(bits, strips_of(u))
    assert density == np.mean([u[:, s : s + 8].any(axis=1) for s in range(0, 100, 8)])
