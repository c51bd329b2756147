"""A recorded step on the CPU: noted once, done again without layers, its output layer in one."""

import threading

import numpy as np
import pytest

from minae import get_backend, recipes
from minae.backends.cpu_numba import fusion, recording, sparse
from minae.backends.cpu_numba.output_layer import KERNELS, output_layer
from minae.backends.spec import ACTIVATIONS
from minae.layers import Activation, Dense, Sequential
from minae.layers.layer import Strips
from minae.losses import MSE, BCEWithLogits
from minae.models import Autoencoder
from minae.optim import Adam
from minae.training import Training
from tests.examples import mnist

NUMBA, NUMPY = get_backend("numba"), get_backend("numpy")
LOSSES = {function.__name__: function for function in fusion._LOSSES}
SHAPES = [  # N, K, D: less than a tile, a block, a part; more; and what users have
    *((1, 1, 1), (3, 2, 5), (8, 32, 64), (64, 30, 16), (65, 33, 63), (63, 31, 65)),
    *((257, 128, 100), (100, 7, 785), (200, 32, 784)),
]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    """Parts in which the kernels are taken; the pool has at least one thread to take them."""
    NUMBA.set_threads(request.param)
    yield request.param
    NUMBA.set_threads(1)


def layer(shape, dtype, activation="identity", loss="mse", *, bias=True, seed=0, far=1.0):
    """Random arguments of `plain_calls`, what is to be written filled with NaN."""
    N, K, D = shape
    rng = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    def unwritten(*shape):
        return np.full(shape, np.nan, dtype)

    dy = unwritten(N, D)
    return {
        **{"x": normal(N, K), "w": normal(D, K, scale=far / np.sqrt(K))},
        "b": normal(D) if bias else None,
        **{"activation": activation, "slope": 0.01, "loss": LOSSES[loss]},
        **{"t": rng.random((N, D)).astype(dtype), "scale": 1 / (N * D)},
        **{"y": unwritten(N, D), "value": np.full(1, np.nan), "dy": dy},
        "da": dy if activation == "identity" else unwritten(N, D),
        **{"dx": unwritten(N, K), "dw": unwritten(D, K)},
        "db": unwritten(D) if bias else None,
    }


WRITTEN = ("value", "dx", "dw", "db")


def plain(arguments, ops=NUMPY):
    """What NumPy makes of the six calls, by name."""
    for function, named in fusion.plain_calls(**arguments):
        getattr(ops, function.__name__)(**named)
    return {name: arguments[name] for name in WRITTEN if arguments[name] is not None}


def in_one(arguments):
    """What the kernel makes of them."""
    left_out = ("y", "dy", "da", "slope")
    named = {name: value for name, value in arguments.items() if name not in left_out}
    output_layer(**named | {"loss": arguments["loss"].__name__})
    return {name: arguments[name] for name in WRITTEN if arguments[name] is not None}


# ------------------------------------------------------------------ the kernel
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("loss", "activation"), KERNELS)
def test_output_layer_is_the_six_calls(loss, activation, shape, bias, threads):
    """In float64 to rounding; in float32 as near to them as sums of that many terms are."""
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 3e-6)):
        wanted = plain(layer(shape, np.float64, activation, loss, bias=bias))
        found = in_one(layer(shape, dtype, activation, loss, bias=bias))
        for name, value in wanted.items():
            largest = np.abs(value).max()
            np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize(("loss", "activation"), KERNELS)
def test_far_from_zero(loss, activation, threads):
    """Logits of some hundreds; the losses of a block are multiplied, and do not overflow."""
    shape = (130, 5, 70)
    wanted = plain(layer(shape, np.float64, activation, loss, far=200.0))
    found = in_one(layer(shape, np.float32, activation, loss, far=200.0))
    for name, value in wanted.items():
        assert np.isfinite(found[name]).all()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * np.abs(value).max())


@pytest.mark.parametrize(("loss", "activation"), KERNELS)
def test_sums_over_many_samples_keep_their_digits(loss, activation):
    """Block by block: one float32 sum of 20,000 like terms is wrong in the fourth digit."""
    alike = layer((20_000, 3, 5), np.float32, activation, loss)
    for name in ("x", "t"):
        alike[name][:] = alike[name][0]
    in_double = layer((20_000, 3, 5), np.float64, activation, loss)
    wanted = plain(in_double | {name: alike[name] for name in ("x", "w", "b", "t")})
    for name, value in wanted.items():
        largest = np.abs(value).max()
        found = in_one(alike)[name]
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-5 * largest, err_msg=name)


def test_a_sum_of_small_losses_is_not_lost():
    """Where all is nearly right, each loss is far below the rounding of 1 + odds."""
    arguments = layer((64, 1, 64), np.float32, loss="bce_with_logits", bias=False)
    arguments["x"].fill(-1)
    arguments["w"].fill(20)
    arguments["t"].fill(0)
    found = float(in_one(arguments)["value"][0])
    assert found == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-5)


@pytest.mark.parametrize(("loss", "activation"), KERNELS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_seen(loss, activation, value):
    """A network that diverges says so, in its loss and in the gradients of what did."""
    arguments = layer((10, 3, 70), np.float32, activation, loss)
    arguments["b"][40] = value
    wanted = plain({**layer((10, 3, 70), np.float64, activation, loss), "b": arguments["b"]})
    found = in_one(arguments)
    for name in ("value", "db"):
        np.testing.assert_array_equal(np.isfinite(found[name]), np.isfinite(wanted[name]), name)


def test_the_same_bits_every_time(threads):
    first, second = (in_one(layer((200, 32, 784), np.float32)) for _ in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


# ------------------------------------------------------------------ which calls are replaced
def test_the_output_layer_is_found_among_others():
    arguments = layer((5, 3, 4), np.float64)
    other = (NUMPY.add, {"a": arguments["x"], "b": arguments["x"], "out": np.empty((5, 3))})
    calls = [other, *fusion.plain_calls(**arguments), other]
    functions = [function for function, _ in fusion.fused(calls)]
    assert functions == [NUMPY.add, output_layer, NUMPY.add]


# Arguments that stand in one of the six calls alone: another one makes another output layer.
ONCE = {(1, "b"), (2, "t"), (2, "scale"), (2, "value"), (3, "db"), (4, "out"), (5, "out")}


def test_what_is_not_quite_an_output_layer_stays():
    """Any other array, number or order in the six calls."""
    calls = fusion.plain_calls(**layer((4, 4, 4), np.float64, "tanh"))
    tried = 0
    for i, (function, named) in enumerate(calls):
        for name, value in named.items():
            another = {
                np.ndarray: lambda v: v.copy(),
                bool: lambda v: not v,
                str: lambda v: "relu",
                float: lambda v: v + 1,
            }[type(value)](value)
            changed = [*calls[:i], (function, named | {name: another}), *calls[i + 1 :]]
            replaced = fusion.fused(changed) != changed
            assert replaced == ((i, name) in ONCE), (function.__name__, name)
            tried += 1
    assert tried == 31
    for i in range(5):
        swapped = [*calls[:i], calls[i + 1], calls[i], *calls[i + 2 :]]
        assert i == 4 or fusion.fused(swapped) == swapped
        assert fusion.fused(calls[:i]) == calls[:i]


def test_a_bias_of_each_sample_stays():
    """What a layer with label conditioning adds is (N, D)."""
    arguments = layer((4, 3, 5), np.float64)
    calls = fusion.plain_calls(**arguments | {"b": np.zeros((4, 5)), "db": np.zeros((4, 5))})
    assert fusion.fused(calls) == calls


def test_what_stands_between_comes_after():
    arguments = layer((5, 3, 4), np.float64)
    calls = fusion.plain_calls(**arguments)
    other = (NUMPY.add, {"a": arguments["value"], "b": np.ones(1), "out": np.empty(1)})
    functions = [function for function, _ in fusion.fused([*calls[:3], other, *calls[3:]])]
    assert functions == [output_layer, NUMPY.add]
    for name in ("x", "w", "b", "t", "dx", "dw", "db"):
        other = (NUMPY.copy, {"x": np.ones(1), "out": arguments[name][:1]})
        changed = [*calls[:3], other, *calls[3:]]
        assert fusion.fused(changed) == changed


@pytest.mark.parametrize("name", ["y", "dy", "da"])
def test_what_another_call_reads_is_written(name):
    arguments = layer((4, 3, 5), np.float64, "tanh")
    reading = (NUMPY.copy, {"x": arguments[name][1:], "out": np.empty((3, 5))})
    for calls in (
        [*fusion.plain_calls(**arguments), reading],
        [reading, *fusion.plain_calls(**arguments)],
    ):
        assert fusion.fused(calls) == calls


@pytest.mark.parametrize(
    ("name", "fuses"),
    [
        *(("vanilla", True), ("deep", True), ("tanh", True), ("latent", True), ("sparse", False)),
        *(
            ("contractive", False),
            ("dropout", True),
            ("vae", True),
            ("hinton", False),
            ("conv", False),
        ),
    ],
)
def test_recipes(name, fuses):
    """Of many features products by BLAS are as fast; a penalty on the code, which the output layer
    reads, stands between; a convolution has no kernel."""
    training = training_of(name, "numba")
    calls = training.step().replay.calls
    assert (output_layer in [function for function, _ in calls]) == fuses


# ------------------------------------------------------------------ a batch left as bytes
def batch(
    shape=(20, 5, 16),
    dtype=np.float32,
    *,
    source=np.uint8,
    shift=0.0,
    loss="bce_with_logits",
    activation="identity",
):
    """Calls that pick N samples of D pixels, most of them 0, and read them: a first layer of K
    features, forward and backward, and an output layer."""
    N, K, D = shape
    rng = np.random.default_rng(0)
    images = (
        rng.integers(0, 256, (50, D)) * (rng.random((50, -(-D // 8))) < 0.4).repeat(8, 1)[:, :D]
    )
    images = images.astype(source)
    bits = Strips.of(NUMBA, images.astype(np.uint8)).bits
    rows, x = rng.integers(0, 50, N), np.full((N, D), np.nan, dtype)
    known = {"strips": bits, "rows": rows, "x": x}
    last = layer(shape, dtype, activation, loss) | {"t": x}
    w, dy = (rng.normal(size=size).astype(dtype) for size in ((K, D), (N, K)))
    gathered = {"source": images, "indices": rows, "scale": 1 / 255, "shift": shift, "out": x}
    return [
        (NUMBA.gather, gathered),
        (NUMBA.sparse_matmul, known | {"w": w, "out": np.full((N, K), np.nan, dtype)}),
        *fusion.plain_calls(**last),
        (NUMBA.sparse_weight_gradient, known | {"dy": dy, "out": np.full((K, D), np.nan, dtype)}),
    ]


def results(calls):
    """What calls have written that nothing leaves out, in their order."""
    for function, named in calls:
        function(**named)
    return [
        named[name]
        for function, named in calls
        for name in ("out", "value", "dx", "dw", "db")
        if name in named and not function.__name__.startswith("gather")
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 5, 16), (1, 1, 8), (257, 33, 72), (100, 30, 784)], ids=str)
@pytest.mark.parametrize(("loss", "activation"), KERNELS)
def test_of_bytes_the_same_comes(loss, activation, shape, dtype, threads):
    """As from the numbers that they stand for: the same bits, but where the compiler joins the
    scaling with a difference that follows, and so rounds once less."""
    given = {"loss": loss, "activation": activation}
    with_numbers = fusion._with_output_layer(batch(shape, dtype, **given))
    with_bytes = fusion.fused(batch(shape, dtype, **given))
    assert [function.__name__ for function, _ in with_bytes] == [
        "gather_bytes",
        "scaled_sparse_matmul",
        "output_layer",
        "scaled_sparse_weight_gradient",
    ]
    tolerance = 0 if loss == "bce_with_logits" else 3 * np.finfo(dtype).eps
    for found, wanted in zip(results(with_bytes), results(with_numbers), strict=True):
        assert np.isfinite(wanted).all()
        largest = np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * largest)


def left_as_bytes(calls):
    return fusion.gather_bytes in [function for function, _ in fusion.fused(calls)]


def test_what_cannot_be_left_as_bytes():
    """Numbers; pixels that are shifted; those that another call reads, or that are written twice; a
    part of them; the output layer in six calls."""
    calls = batch()
    x = calls[0][1]["out"]
    other = (NUMBA.copy, {"x": x[3:], "out": np.empty_like(x[3:])})
    assert left_as_bytes(calls) and left_as_bytes(calls[:2]) and not left_as_bytes(calls[:1])
    assert not left_as_bytes(batch(source=np.float32))
    assert not left_as_bytes(batch(shift=-1.0))
    assert not left_as_bytes(batch((20, 5, 12)))  # a last strip that is not whole
    for i in range(len(calls) + 1):
        assert not left_as_bytes([*calls[:i], other, *calls[i:]])
        assert not left_as_bytes([*calls[:i], (NUMBA.copy, {"x": x * 0, "out": x}), *calls[i:]])
    function, named = calls[1]
    part = (function, named | {"x": x[:10], "rows": named["rows"][:10], "out": named["out"][:10]})
    assert not left_as_bytes([calls[0], part])
    assert not left_as_bytes(calls[:5])
    for view in (x[::-1], x.view(np.int32), np.lib.stride_tricks.as_strided(x, x.shape, (0, 4))):
        assert not left_as_bytes([calls[0], (function, named | {"x": view})])
    autoencoder = layer((20, 16, 16), np.float32) | {
        "x": x,
        "t": x,
    }  # its only layer reads them too
    assert not left_as_bytes([calls[0], *fusion.plain_calls(**autoencoder)])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *((name, True) for name in ("vanilla", "deep", "latent", "vae")),
        *((name, False) for name in ("tanh", "denoising", "sparse", "conv", "iwae")),
    ],
)
def test_recipes_whose_batches_are_left_as_bytes(name, wanted):
    """Pixels from -1 on, noise, a plain product, a convolution and what binarizes want numbers."""
    recipe = recipes.make(name)
    recipe.model.bind("numba", np.float32, recipe.seed)
    training = Training(recipe.model, recipe.optimizer, *mnist(400), batch_size=200)
    calls = training.step().replay.calls
    assert (fusion.gather_bytes in [function for function, _ in calls]) == wanted


# ------------------------------------------------------------------ recording
def training_of(name, backend, dtype=np.float64, **options):
    recipe = recipes.make(name)
    recipe.model.bind(backend, dtype, recipe.seed)
    return Training(recipe.model, recipe.optimizer, *mnist(100), batch_size=40, seed=1, **options)


@pytest.mark.parametrize("name", recipes.image_recipes())
def test_recorded_steps_are_those_of_the_layers(name, monkeypatch):
    """Two epochs, smaller last batches too; first layers leave out strips, though these are few."""
    monkeypatch.setattr(sparse, "_LEAST", 1)
    monkeypatch.setattr(sparse, "_LEAST_OF_GRADIENT", 1)
    weights = []
    for record in (True, False):
        training = training_of(name, "numba", record=record)
        losses = [training.step() and training.loss() for _ in range(6)]
        weights.append((losses, training.model.parameters.to_numpy()))
    (losses, recorded), (wanted, direct) = weights
    np.testing.assert_allclose(losses, wanted, rtol=1e-10)
    for path, values in direct.items():
        np.testing.assert_allclose(recorded[path], values, rtol=1e-7, atol=1e-9)


def test_operations_are_put_back():
    before = {name: getattr(NUMBA, name) for name in recording._NOTED}
    with pytest.raises(ZeroDivisionError):
        NUMBA.record(lambda: 1 / 0)
    assert {name: getattr(NUMBA, name) for name in recording._NOTED} == before


def test_another_thread_is_not_noted():
    x, one = np.zeros(3), np.ones(3)

    def run():
        other = threading.Thread(target=lambda: NUMBA.add(x, one, out=x))
        other.start()
        other.join()

    replay = NUMBA.record(run)
    replay()
    assert x.tolist() == [1, 1, 1]


def test_two_threads_that_record_at_once():
    """Each notes its own operations, and the backend is afterwards as it was."""
    x, y, one = np.zeros(3), np.zeros(3), np.ones(3)
    begun, replays = threading.Event(), []

    def first():
        begun.set()
        other.join(0.2)  # time to record in between, were it not made to wait
        NUMBA.add(x, one, out=x)

    def second():
        begun.wait()
        replays.append(NUMBA.record(lambda: NUMBA.add(y, one, out=y)))

    other = threading.Thread(target=second)
    other.start()
    replays.append(NUMBA.record(first))
    other.join()
    for replay in replays:
        replay()
    assert x.tolist() == y.tolist() == [2, 2, 2]


class OfMyOwn(Activation):
    """What a student may write: arithmetic that is no operation."""

    def forward(self, x, cache):
        np.tanh(x, out=cache.y)
        return cache.y


def test_a_layer_from_outside_is_run_step_by_step():
    def train(kind, **options):
        encoder = Sequential(Dense(784, 8), kind("tanh"))
        model = Autoencoder((784,), encoder, Dense(8, 784), MSE("image")).bind("numba", np.float64)
        training = Training(model, Adam(1e-3), mnist(100)[0], batch_size=40, **options)
        return training, [training.step() and training.loss() for _ in range(6)]

    (_, wanted), (training, losses) = train(Activation), train(OfMyOwn)
    assert not training.record and training.last.recorded_at is None
    np.testing.assert_allclose(losses, wanted, rtol=1e-10)
    assert train(Activation)[0].record and not train(Activation, record=False)[0].record


@pytest.mark.parametrize(
    "change",
    [
        lambda model, optimizer, i: setattr(model, "beta", 0.1 * i),
        lambda model, optimizer, i: setattr(model, "loss", BCEWithLogits(("sum", "image")[i % 2])),
        lambda model, optimizer, i: setattr(optimizer, "weight_decay", 0.2 * i),
        lambda model, optimizer, i: setattr(optimizer, "max_norm", 10.0 + i),
        lambda model, optimizer, i: setattr(optimizer, "lr", 1e-3 * (1 + i)),
        lambda model, optimizer, i: setattr(model.decoder.layers[0], "activation", ACTIVATIONS[i]),
    ],
    ids=["beta", "loss", "weight decay", "max_norm", "lr", "activation"],
)
def test_a_change_is_recorded(change):
    """A warm-up by hand, say: what the next step does is what is said now."""

    def train(record):
        training = training_of("vae", "numba", record=record)
        for i in range(6):
            change(training.model, training.optimizer, i)
            training.step()
        return training.loss()

    assert train(True) == pytest.approx(train(False), rel=1e-10)


@pytest.mark.parametrize("name", recipes.image_recipes())
def test_steps_change_nothing_that_is_recorded(name):
    """No step is recorded twice: nothing in it sets what is watched."""
    training = training_of(name, "numba")
    replays = {id(training.step().replay) for _ in range(6)}
    assert len(replays) == 2  # of whole batches and of the last
