"""The classifier: against PyTorch, on digits, from its file, with the encoder of another model."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minae import MinaeError, io
from minae.layers import Dense
from minae.losses import MSE
from minae.models import Autoencoder, Classifier
from minae.optim import Adam
from minae.training import Training, average_loss
from tests.examples import mnist
from tests.model_gradients import check_gradients, every_backend, loaded, value_of, weights_of


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
