"""Models on disk: what is saved comes back, and a bad file gets one clear sentence."""

import json
import os
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.numpy

import minae
from minae import MinaeError, recipes
from minae.architecture import build, describe
from minae.init import Normal
from minae.layers import Activation, Dense, Sequential
from minae.losses import MSE
from minae.models import Autoencoder, VariationalAutoencoder
from minae.training import Training
from tests.examples import BACKENDS, EXAMPLES, convolutional, labels_for, mnist

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def trained(recipe, backend="numpy", dtype="float32", steps=3):
    """The recipe's model after some steps on a few images."""
    images, labels = mnist(50)
    model = recipe.model.bind(backend, dtype, recipe.seed)
    training = Training(model, recipe.optimizer, images, labels, batch_size=25)
    for _ in range(steps):
        training.step()
    return model


@pytest.fixture
def vanilla(tmp_path):
    """A model and the file that it is saved in."""
    model = trained(recipes.make("vanilla"), steps=1)
    minae.save(model, tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


# ------------------------------------------------------------------ there and back
@every_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", recipes.image_recipes())
def test_recipe(name, dtype, backend, tmp_path):
    """Weights and outputs bit for bit; from the file as from its folder."""
    images, labels = mnist(50)
    model = trained(recipes.make(name), backend, dtype)
    minae.save(model, tmp_path / "model.safetensors")
    for path in (tmp_path / "model.safetensors", str(tmp_path)):
        loaded = minae.load(path, backend)
        assert type(loaded) is type(model)
        assert loaded.parameters.dtype == dtype
        assert describe(loaded) == describe(model)
        given = labels_for(model, labels)
        codes = model.encode(images, *given)
        np.testing.assert_array_equal(loaded.encode(images, *given), codes)
        np.testing.assert_array_equal(loaded.decode(codes, *given), model.decode(codes, *given))
        assert loaded.evaluate(images, *given) == model.evaluate(images, *given)
        for array, values in model.parameters.to_numpy().items():
            np.testing.assert_array_equal(loaded.parameters.to_numpy()[array], values)
    assert [*os.listdir(tmp_path)] == ["model.safetensors"]


def test_batch_norm_statistics_are_saved(tmp_path):
    images, _ = mnist(50)
    model = convolutional().bind("numpy")
    training = Training(model, recipes.make("vae").optimizer, images, batch_size=20)
    for _ in range(5):
        training.step()
    statistics = {path for path in model.parameters.to_numpy() if "running" in path}
    assert statistics == {"encoder.1.running_mean", "encoder.1.running_var"}
    minae.save(model, tmp_path / "model.safetensors")
    loaded = minae.load(tmp_path, "numpy")
    for path in statistics:
        values = loaded.parameters.to_numpy()[path]
        np.testing.assert_array_equal(values, model.parameters.to_numpy()[path])
        assert np.abs(values - values.round()).min() > 0  # neither 0 nor 1, where they began
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))


@pytest.mark.parametrize("name", recipes.image_recipes())
def test_trained_with_numba_loaded_on_numpy(name, tmp_path):
    images, labels = mnist(50)
    model = trained(recipes.make(name), "numba")
    given = labels_for(model, labels)
    minae.save(model, tmp_path / "model.safetensors")
    loaded = minae.load(tmp_path, "numpy")
    assert loaded.ops.name == "numpy"
    assert loaded.evaluate(images, *given) == pytest.approx(
        model.evaluate(images, *given), rel=1e-5
    )
    np.testing.assert_allclose(
        loaded.reconstruct(images, *given), model.reconstruct(images, *given), atol=1e-5
    )


@every_backend
def test_another_dtype_on_request(backend, tmp_path):
    images, _ = mnist(10)
    model = trained(recipes.make("vae"), backend)
    minae.save(model, tmp_path / "model.safetensors")
    double = minae.load(tmp_path, backend, dtype="float64")
    assert double.parameters.values.dtype == np.float64
    for path, values in double.parameters.to_numpy().items():
        np.testing.assert_array_equal(values, model.parameters.to_numpy()[path], err_msg=path)
    np.testing.assert_allclose(double.encode(images), model.encode(images), atol=1e-5)


def test_a_loaded_model_can_be_trained_on(tmp_path):
    model = trained(recipes.make("vanilla"))
    minae.save(model, tmp_path / "model.safetensors")
    runs = []
    for kept in (model, minae.load(tmp_path, "numpy")):
        training = Training(kept, recipes.make("vanilla").optimizer, mnist(50)[0], batch_size=25)
        training.step()
        runs.append(kept.parameters.to_numpy())
    for path in runs[0]:
        np.testing.assert_array_equal(runs[0][path], runs[1][path])


def test_saving_again_replaces_the_file(vanilla):
    model, path = vanilla
    model.parameters.values[:] = 0.5
    minae.save(model, path)
    assert (minae.load(path, "numpy").parameters.to_numpy()["encoder.w"] == 0.5).all()


# ------------------------------------------------------------------ the architecture
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_layer_comes_back_from_its_description(name):
    layer = EXAMPLES[name][0]()
    description = json.loads(json.dumps(describe(layer)))
    rebuilt = build(description)
    assert type(rebuilt) is type(layer)
    assert describe(rebuilt) == describe(layer)
    assert rebuilt.output_shape(EXAMPLES[name][1]) == layer.output_shape(EXAMPLES[name][1])


def test_initializers_losses_and_numbers_come_back():
    dense = Dense(4, 4, "elu", slope=0.7, bias=False, init=Normal(0.3))
    model = VariationalAutoencoder((4,), 2, dense, Dense(2, 4), MSE("sum"), beta=0.3)
    rebuilt = build(json.loads(json.dumps(describe(model))))
    assert (rebuilt.loss, rebuilt.beta, rebuilt.latent) == (MSE("sum"), 0.3, 2)
    assert repr(rebuilt.encoder) == repr(dense)


@dataclass(eq=False)
class Gain(Activation):
    """A layer of one's own, with an option: y = gain · f(x)."""

    gain: float = 1.0

    def forward(self, x, cache):
        y = super().forward(x, cache)
        np.multiply(y, self.gain, out=y)
        return y


def test_a_layer_of_ones_own_is_saved_by_name(tmp_path):
    decoder = Sequential(Dense(5, 784), Gain("sigmoid", gain=0.25))
    model = Autoencoder((784,), Dense(784, 5), decoder, MSE()).bind("numpy")
    minae.save(model, tmp_path / "model.safetensors")
    images, _ = mnist(5)
    loaded = minae.load(tmp_path, "numpy")
    assert type(loaded.decoder.layers[1]) is Gain
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))


class NotPlain(Activation):
    def __init__(self):
        super().__init__("tanh")
        self.slope = np.ones(3)  # no plain value


def test_what_cannot_be_described_cannot_be_saved(tmp_path):
    model = Autoencoder((4,), Dense(4, 4), NotPlain(), MSE()).bind("numpy")
    with pytest.raises(MinaeError, match="a ndarray cannot be saved; a model is made of"):
        minae.save(model, tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------ bad files
def rewrite(path, *, arrays=None, metadata=None):
    """The saved file with other arrays, or other metadata."""
    with safetensors.safe_open(path, framework="numpy") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = metadata or file.metadata()
    safetensors.numpy.save_file(kept if arrays is None else arrays, path, metadata=metadata)


def test_missing_file(tmp_path):
    for path in (tmp_path, tmp_path / "model.safetensors", tmp_path / "other" / "model"):
        with pytest.raises(MinaeError, match=r"no model at .*; give a run folder or a model"):
            minae.load(path)


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 100, b"not a model, " * 1000])
def test_garbage(content, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(MinaeError, match=rf"{path} is not a readable safetensors file: \w+"):
        minae.load(path)


@pytest.mark.parametrize("kept", [4, 100, 0.5, 0.999])
def test_truncated_file(kept, vanilla):
    _, path = vanilla
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    with pytest.raises(MinaeError, match=rf"{path} is not a readable safetensors file: \w+"):
        minae.load(path)


def test_unreadable_file(vanilla, monkeypatch):
    """As where permissions forbid it; a test may run as root, to whom nothing is forbidden."""
    _, path = vanilla

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(safetensors, "safe_open", forbidden)
    with pytest.raises(MinaeError, match=r"not a readable safetensors file: .*Permission denied"):
        minae.load(path)


def test_file_of_another_program(tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}):
        safetensors.numpy.save_file({"weight": np.zeros((2, 3))}, path, metadata=metadata)
        with pytest.raises(MinaeError, match=r"no minae architecture: another program wrote it"):
            minae.load(path)


def test_arrays_that_do_not_fit(vanilla):
    model, path = vanilla
    good = model.parameters.to_numpy()
    w, b = good["encoder.w"], good["encoder.b"]
    for arrays, message in (
        ({**good, "encoder.v": b}, r"encoder.v \(32,\) \(wanted none\)$"),
        (
            {k: v for k, v in good.items() if k != "encoder.b"},
            r"encoder.b missing \(wanted \(32,\)",
        ),
        ({**good, "encoder.w": w.T.copy()}, r"encoder.w \(784, 32\) \(wanted \(32, 784\)\)$"),
        ({}, r"decoder.b missing .* encoder.w missing"),
    ):
        rewrite(path, arrays=arrays)
        with pytest.raises(MinaeError, match=rf"{path} is damaged: its arrays do not .*{message}"):
            minae.load(path, "numpy")
    rewrite(path, arrays={name: values.astype(np.int64) for name, values in good.items()})
    with pytest.raises(MinaeError, match="float32 or float64, found dtype int64"):
        minae.load(path, "numpy")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("{", "its architecture cannot be built: Expecting"),
        ("7", "its architecture is a int, wanted a model"),
        ('{"type": "Dense", "in_features": 3, "out_features": 2}', "is a Dense, wanted a model"),
        ('{"type": "Autoencoder"}', "its architecture cannot be built: .*missing"),
        ('{"type": "Sequential"}', "its architecture cannot be built: 'layers'"),
        ('{"type": "Dense", "size": 3}', "its architecture cannot be built: .*'size'"),
        ('{"type": "GAN"}', "unknown part 'GAN' .* if it is your own, import it first"),
        ('{"in_features": 3}', "unknown part None"),
        ('{"type": "sqrt"}', "unknown part 'sqrt'"),
    ],
)
def test_damaged_architecture(architecture, message, vanilla):
    _, path = vanilla
    rewrite(path, metadata={"architecture": architecture})
    with pytest.raises(MinaeError, match=message):
        minae.load(path, "numpy")


# ------------------------------------------------------------------ whole or not at all
def test_a_write_that_fails_leaves_the_old_file(vanilla, monkeypatch):
    model, path = vanilla
    content = path.read_bytes()

    def full(tensors, filename, metadata):
        filename.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with pytest.raises(MinaeError, match=rf"cannot be written to {path}: .*No space left"):
        minae.save(model, path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == content


def test_an_interrupted_write_leaves_nothing(vanilla, monkeypatch):
    model, path = vanilla
    path.unlink()

    def interrupted(tensors, filename, metadata):
        filename.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.numpy, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        minae.save(model, path)
    assert os.listdir(path.parent) == []


def test_a_folder_that_is_missing(vanilla):
    model, path = vanilla
    with pytest.raises(MinaeError, match="cannot be written to"):
        minae.save(model, path.parent / "missing" / "model.safetensors")
    assert os.listdir(path.parent) == [path.name]
