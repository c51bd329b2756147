"""What the tests of layers and models share: backends, an example of every layer, images."""

from functools import cache
from math import prod

import gpu
import numpy as np
from gpu import get_backend

import minae
from minae import layers
from minae.layers import (
    Activation,
    AvgPool2d,
    Batch,
    BatchNorm1d,
    BatchNorm2d,
    ConditionalConv2d,
    ConditionalDense,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    MaskingNoise,
    MaxPool2d,
    Reshape,
    Sequential,
    Upsample2d,
)
from minae.losses import BCEWithLogits
from minae.models import Autoencoder
from minae.parameters import Parameters

BACKENDS = gpu.BACKENDS
DTYPES = ("float64", "float32")
CLASSES = 3

# Every layer once: how it is made, and the shape of its input.
EXAMPLES = {
    "Activation": (lambda: Activation("elu", 0.7), (3, 4, 5)),
    "AvgPool2d": (lambda: AvgPool2d((3, 2), 2, 1), (2, 3, 7, 6)),
    "BatchNorm1d": (lambda: BatchNorm1d(5), (4, 5)),
    "BatchNorm1d of series": (lambda: BatchNorm1d(5), (4, 5, 6)),
    "BatchNorm2d": (lambda: BatchNorm2d(3), (2, 3, 4, 5)),
    "ConditionalConv2d": (
        lambda: ConditionalConv2d(
            2, 4, (3, 2), stride=2, activation="leaky_relu", slope=0.2, classes=CLASSES
        ),
        (5, 2, 7, 6),
    ),
    "ConditionalDense": (
        lambda: ConditionalDense(4, 6, activation="tanh", classes=CLASSES),
        (5, 4),
    ),
    "Conv1d": (lambda: Conv1d(2, 4, 3, 2, 1, 2, 2, activation="tanh"), (3, 2, 11)),
    "Conv2d": (
        lambda: Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, activation="sigmoid"),
        (3, 4, 7, 6),
    ),
    "ConvTranspose1d": (
        lambda: ConvTranspose1d(2, 4, 3, 2, 1, activation="softplus", output_padding=1),
        (3, 2, 5),
    ),
    "ConvTranspose2d": (
        lambda: ConvTranspose2d(
            4, 6, (3, 2), (2, 3), (1, 0), 1, 2, activation="relu", output_padding=(1, 2)
        ),
        (3, 4, 5, 3),
    ),
    "Dense": (lambda: Dense(6, 4, activation="elu", slope=1.3), (5, 6)),
    "Dropout": (lambda: Dropout(0.4), (4, 3, 5)),
    "Flatten": (Flatten, (3, 2, 4, 5)),
    "GaussianNoise": (lambda: GaussianNoise(0.3), (4, 3, 5)),
    "MaskingNoise": (lambda: MaskingNoise(0.4), (4, 3, 5)),
    "MaxPool2d": (lambda: MaxPool2d((2, 3), 2, 1), (2, 3, 6, 7)),
    "Reshape": (lambda: Reshape((4, 3, 2)), (3, 24)),
    "Sequential": (
        lambda: Sequential(
            ConditionalConv2d(1, 3, 3, activation="leaky_relu", classes=CLASSES),
            BatchNorm2d(3),
            MaxPool2d(2),
            Dropout(0.2),
            Flatten(),
            Sequential(Dense(12, 8, activation="tanh"), Reshape((2, 2, 2))),
            ConvTranspose2d(2, 1, 3, stride=2),
        ),
        (4, 1, 6, 6),
    ),
    "Upsample2d": (lambda: Upsample2d((2, 3)), (2, 3, 4, 5)),
}


def walk(layer):
    """This layer and all inside it."""
    yield layer
    for inner in layer.sublayers():
        yield from walk(inner)


def classes_of(layer):
    """The number of classes of the labels that a layer wants, or None."""
    return next((part.classes for part in walk(layer) if hasattr(part, "classes")), None)


def bind(layer, backend, dtype, seed=0):
    """The layer's Parameters, every value random: gamma, beta and biases too."""
    parameters = Parameters({"layer": layer}, get_backend(backend), dtype, seed)
    rng = np.random.default_rng(seed)
    for path, view in parameters.views.items():
        values = parameters.ops.to_numpy(view)
        spread = 0.5 / np.sqrt(prod(view.shape[1:]))
        parameters.assign(path, values + rng.normal(scale=spread, size=view.shape))
    return parameters


def new_batch(parameters, samples, classes=None, *, seed=0, training=True):
    """A batch of so many samples with random labels."""
    batch = Batch.first(parameters.ops, samples, seed=seed, training=training)
    if classes is not None:
        labels = np.random.default_rng(seed).integers(0, classes, samples)
        batch.one_hot = parameters.ops.asarray(np.eye(classes)[labels], parameters.dtype)
    return batch


def on_device(ops, host, dtype, *, contiguous=True):
    """The host array on the device, if asked every second element of a larger array."""
    x = ops.asarray(host.astype(dtype))
    if contiguous:
        return x
    strided = ops.empty((*host.shape[:-1], 2 * host.shape[-1]), dtype)[..., ::2]
    ops.copy(x, out=strided)
    return strided


def fill(ops, array, value):
    """array = value everywhere."""
    ops.copy(ops.asarray(np.full(array.shape, value, array.dtype)), out=array)


def shares_memory(a, b):
    """Whether two C-contiguous arrays, NumPy's or CuPy's, overlap."""
    begin_a, begin_b = (x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr for x in (a, b))
    return begin_a < begin_b + b.nbytes and begin_b < begin_a + a.nbytes


def public_layers():
    """Names of the layers that minae offers."""
    return {
        name
        for name in layers.__all__
        if issubclass(getattr(layers, name), Layer) and name != "Layer"
    }


# ------------------------------------------------------------------ images and models
@cache
def mnist(samples):
    """The first images and labels of the MNIST in the box."""
    data = minae.load_images()
    return data.train_images[:samples], data.train_labels[:samples]


def labels_for(model, labels):
    """(labels,) where the model takes them."""
    return () if model.classes is None else (labels,)


def convolutional():
    """An autoencoder with batch normalization, dropout, and a code that is an image."""
    return Autoencoder(
        input_shape=(1, 28, 28),
        encoder=Sequential(
            Conv2d(1, 4, 4, stride=2, padding=1, activation="relu"), BatchNorm2d(4), Dropout(0.3)
        ),
        decoder=Sequential(ConvTranspose2d(4, 1, 4, stride=2, padding=1)),
        loss=BCEWithLogits(),
    )
