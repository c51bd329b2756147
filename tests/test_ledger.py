"""The figures over a whole set: by hand, against PyTorch and scikit-learn, and as published."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from minae.datasets import load_images
from minae.ledger import (
    BLOCK,
    ROWS,
    ReconstructionLedger,
    baselines,
    principal_components,
    table,
)


def figures(x, y, dtype=np.float64):
    ledger = ReconstructionLedger()
    ledger.add(np.asarray(x, dtype), np.asarray(y, dtype))
    return ledger.figures()


def test_by_hand():
    # Pixel by pixel: (x, y) = (1, ½), (0, ¼), (½, ½), (1, 1).
    found = figures([[1, 0], [0.5, 1]], [[0.5, 0.25], [0.5, 1]])
    assert found == pytest.approx(
        {
            "mse_per_pixel": (1 / 4 + 1 / 16) / 4,
            "squared_error_per_image": (1 / 4 + 1 / 16) / 2,
            "bce_per_pixel": (np.log(2) + np.log(4 / 3) + np.log(2)) / 4,
            "bce_floor_per_pixel": np.log(2) / 4,
        },
        rel=1e-14,
    )
    assert all(type(value) is float for value in found.values())


def test_logarithms_are_held_at_minus_100():
    found = figures([[1, 0, 0.25, 0.25]], [[0, 1, 0, 1]])
    assert found["bce_per_pixel"] == pytest.approx((100 + 100 + 25 + 75) / 4, rel=1e-14)


def test_y_outside_the_unit_interval_enters_the_bce_clipped():
    found = figures([[0, 1, 1]], [[-1, 1.5, 0.5]])
    assert found["bce_per_pixel"] == pytest.approx(np.log(2) / 3, rel=1e-14)
    assert found["squared_error_per_image"] == pytest.approx(1 + 0.25 + 0.25, rel=1e-14)


@pytest.mark.parametrize(("dtype", "rel"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_against_pytorch(dtype, rel):
    rng = np.random.default_rng(1)
    x, y = rng.random((2, ROWS + 77, 11)).astype(dtype)
    y[0, :3], x[1, :3] = (0, 1, 0.5), (0, 1, 0.5)
    found = figures(x, y, dtype)
    x, y = (torch.from_numpy(array.astype(np.float64)) for array in (x, y))
    mse = torch.nn.functional.mse_loss(y, x).item()
    assert found == pytest.approx(
        {
            "mse_per_pixel": mse,
            "squared_error_per_image": mse * 11,
            "bce_per_pixel": torch.nn.functional.binary_cross_entropy(y, x).item(),
            "bce_floor_per_pixel": torch.nn.functional.binary_cross_entropy(x, x).item(),
        },
        rel=rel,
    )


def test_uneven_batches_give_the_figures_of_the_whole_set():
    rng = np.random.default_rng(2)
    x, y = rng.random((2, 100, 7))
    y[90:] = x[90:]  # a mean of batch means would weigh these ten images as much as the others
    ledger = ReconstructionLedger()
    ledger.add(x[:90], y[:90])
    ledger.add(x[90:], y[90:])
    assert ledger.figures() == pytest.approx(figures(x, y), rel=1e-13)


def test_a_diverged_model_shows():
    assert np.isnan(list(figures([[0.5]], [[np.nan]]).values())[:3]).all()


def test_bad_arguments():
    ledger = ReconstructionLedger()
    with pytest.raises(ValueError, match=r"^no image was added, 1 or more wanted$"):
        ledger.figures()
    with pytest.raises(ValueError, match=r"^x has shape \(2, 3\) and y \(3, 2\), one shape"):
        ledger.add(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"^x has shape \(2, 3, 3\) and y \(2, 3, 3\), one shape"):
        ledger.add(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match=r"^x lies in \[-1.0, 1.0\], \[0, 1\] wanted$"):
        ledger.add(np.array([[-1.0, 1.0]]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"^0 components asked for, 1 or more wanted$"):
        principal_components(np.eye(3), 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_principal_components_against_scikit_learn(dtype):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (BLOCK + 200, 12)) * np.linspace(0.1, 1, 12)
    x = x.astype(dtype)
    mean, basis = principal_components(x, 5)
    judge = PCA(5, svd_solver="full").fit(x.astype(np.float64))
    np.testing.assert_allclose(mean, judge.mean_, rtol=1e-12)
    signs = np.sign((basis * judge.components_.T).sum(axis=0))
    np.testing.assert_allclose(basis * signs, judge.components_.T, atol=1e-9)
    assert basis.flags.c_contiguous and basis.dtype == mean.dtype == np.float64


def test_baselines_against_scikit_learn():
    rng = np.random.default_rng(4)
    latent = rng.normal(size=(2 * BLOCK + 300, 3)) @ rng.normal(size=(3, 20))
    images = np.clip(128 + 40 * latent, 0, 255).astype(np.uint8)
    train, test = images[: BLOCK + 100], images[BLOCK + 100 :]
    found = baselines(train, test, 2)
    judge = PCA(2, svd_solver="full").fit(train / 255)
    assert found["pca"]["components"] == 2
    for part, x in (("train", train / 255), ("test", test / 255)):
        of_pca = figures(x, judge.inverse_transform(judge.transform(x)))
        of_mean_image = figures(x, np.broadcast_to(judge.mean_, x.shape))
        assert found["pca"][part] == pytest.approx(of_pca, rel=1e-5)
        assert found["mean_image"][part] == pytest.approx(of_mean_image, rel=1e-5)


def test_as_many_components_as_pixels_are_lossless():
    images = np.random.default_rng(5).integers(0, 256, (50, 6), np.uint8)
    pca = baselines(images[:40], images[40:], 99)["pca"]
    assert pca["components"] == 6
    assert pca["test"]["mse_per_pixel"] < 1e-12


def test_mnist_has_the_published_figures():
    """Hinton & Salakhutdinov (2006) print 13.87 for PCA-30: fitted on the training images,
    measured on the test images, its reconstruction not clipped."""
    mnist = load_images()
    found = baselines(mnist.train_images, mnist.test_images, 30)
    test = found["pca"]["test"]
    assert test["squared_error_per_image"] == pytest.approx(13.87, abs=0.01)
    assert test["bce_floor_per_pixel"] == pytest.approx(0.0581, abs=5e-5)
    assert test["bce_floor_per_pixel"] * 784 == pytest.approx(45.5, abs=0.05)
    assert found["mean_image"]["train"]["squared_error_per_image"] == pytest.approx(
        (mnist.train_images / np.float32(255)).var(axis=0, dtype=np.float64).sum(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("components", "mse"), [(2, 0.0557), (5, 0.0445), (10, 0.0341), (20, 0.0235), (50, 0.0115)]
)
def test_pca_of_other_sizes_on_mnist(mnist_directions, components, mse):
    test, mean, basis = mnist_directions
    leading = basis[:, :components]
    error = test - mean - (test - mean) @ leading @ leading.T
    assert np.square(error / 255).mean() == pytest.approx(mse, abs=5e-5)


@pytest.fixture(scope="module")
def mnist_directions():
    mnist = load_images()
    mean, basis = principal_components(mnist.train_images, 50)
    return mnist.test_images.astype(np.float64), mean, basis


def summary():
    part = dict.fromkeys(("mse_per_pixel", "bce_per_pixel"), 0.25)
    part |= {"squared_error_per_image": 196.0, "bce_floor_per_pixel": 0.0581}
    nats = {"reconstruction_nats": 80.125, "kl_nats": 25.0, "nats_per_image": 105.125}
    return {
        "train": part,
        "test": part | nats,
        "baselines": {
            "mean_image": {"train": part, "test": part},
            "pca": {"components": 30, "train": part, "test": part},
        },
    }


TABLE = """\
              sq. error        MSE        BCE  BCE floor BCE excess  reconstr.         KL      -ELBO
              per image  per pixel nats/pixel nats/pixel nats/pixel nats/image nats/image nats/image
train set
  model          196.00    0.25000     0.2500     0.0581     0.1919          –          –          –
  mean image     196.00    0.25000     0.2500     0.0581     0.1919          –          –          –
  PCA-30         196.00    0.25000     0.2500     0.0581     0.1919          –          –          –
test set
  model          196.00    0.25000     0.2500     0.0581     0.1919      80.12      25.00     105.12
  mean image     196.00    0.25000     0.2500     0.0581     0.1919          –          –          –
  PCA-30         196.00    0.25000     0.2500     0.0581     0.1919          –          –          –
"""


def test_table():
    assert table(summary()) + "\n" == TABLE
    assert max(map(len, TABLE.splitlines())) == 100


def test_table_without_baselines():
    assert (
        table({"test": {"mse_per_pixel": 0.5}})
        == """\
                    MSE
              per pixel
test set
  model         0.50000"""
    )
