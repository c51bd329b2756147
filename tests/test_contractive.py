"""Contractive autoencoders: the penalty and its gradients against PyTorch's double backward."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minae import MinaeError, recipes
from minae.backends.spec import ACTIVATIONS
from minae.layers import Dense, Dropout, Sequential
from minae.losses import MSE
from minae.models import ContractiveAutoencoder
from minae.models.contractive import jacobian_norms
from minae.training import Training
from tests.examples import mnist
from tests.model_gradients import check_gradients, every_backend, loaded, value_of, weights_of
from tests.torch_layers import activate


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
