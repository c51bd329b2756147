"""A training step allocates nothing once it has run with its batch size.

tracemalloc sees every Python object and every NumPy array. A step may make small objects (views,
tuples); LIMIT lies far below one activation, weight or gradient of a recipe at its batch size. The
first step of an epoch draws the epoch's order, a few words a sample, and has a limit of its own.
"""

import tracemalloc

import numpy as np
import pytest

from minae import recipes
from minae.layers import Activation, Dense, Sequential
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import SGD, Adam, AdamW, RMSprop
from minae.training import Training
from tests.examples import BACKENDS, EXAMPLES, bind, classes_of, mnist, new_batch, on_device

LIMIT = 8 * 1024  # bytes
LEAST = 16 * LIMIT  # bytes of an output
ORDER = 64  # bytes a sample

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def peak(run):
    """Most bytes that were allocated at one time during `run()`, beyond those before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def check_steps(training):
    """An epoch that may allocate, then one that may not and the begin of another."""
    for _ in range(training.steps_per_epoch):
        training.step()
    for _ in range(training.steps_per_epoch + 1):
        limit = LIMIT + training.at_epoch_end * ORDER * training.samples
        assert peak(training.step) < limit


@every_backend
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipe(name, dtype, backend):
    """Full batches, and the smaller last one of an epoch."""
    data = recipes.data(name).load()
    known = recipes.options(name)
    recipe = recipes.make(name, **{n: v for n, v in data.dimensions.items() if n in known})
    # of short samples more, so that one activation is far above the limit
    batch_size = max(recipe.batch_size, LEAST // (4 * data.train_images.shape[1]) + 1)
    samples = 2 * batch_size + batch_size // 3
    assert samples <= len(data.train_images)
    images, labels = data.train_images[:samples], data.train_labels[:samples]
    model = recipe.model.bind(backend, dtype, recipe.seed)
    training = Training(model, recipe.optimizer, images, labels, batch_size=batch_size)
    assert training.steps_per_epoch == 3
    check_steps(training)
    activation = training.step().y
    assert activation.nbytes >= LEAST


@every_backend
@pytest.mark.parametrize(
    "optimizer",
    [SGD(1e-3, 0.9, 0.1, nesterov=True), Adam(weight_decay=0.1), AdamW(), RMSprop(max_norm=1.0)],
)
def test_optimizer(optimizer, backend):
    model = recipes.make("vanilla").model.bind(backend, "float32")
    check_steps(Training(model, optimizer, mnist(70)[0], batch_size=32))


@every_backend
@pytest.mark.parametrize("name", EXAMPLES)
def test_layer(name, backend):
    """Every layer, a batch of 512: forward and backward after the first."""
    make, (_, *sample) = EXAMPLES[name]
    x_shape, layer = (512, *sample), make()
    parameters = bind(layer, backend, "float32")
    cache = layer.new_cache(x_shape, new_batch(parameters, 512, classes_of(layer)))
    rng = np.random.default_rng(0)
    x, dy = (
        on_device(parameters.ops, rng.normal(size=shape), "float32")
        for shape in (x_shape, cache.y_shape)
    )

    def step():
        layer.forward(x, cache)
        layer.backward(dy, cache)

    step()
    assert max(peak(step) for _ in range(3)) < 0.5 * min(x.nbytes, dy.nbytes)


class Spendthrift(Activation):
    def forward(self, x, cache):
        cache.y = np.tanh(x)
        return cache.y


def test_an_allocation_is_seen():
    """The same check on a model with a layer that allocates its output."""
    model = Autoencoder(
        input_shape=(784,),
        encoder=Sequential(Dense(784, 64), Spendthrift("tanh")),
        decoder=Dense(64, 784),
        loss=MSE(),
    ).bind("numpy")
    training = Training(model, Adam(), mnist(500)[0], batch_size=200)
    with pytest.raises(AssertionError, match="peak"):
        check_steps(training)
    assert peak(training.step) > 100 * 64 * 4  # the last batch is of 100
