"""The CuPy backend beyond single operations: memory, graphs, whole steps, order of the threads.

On a GPU if there is one, else on the processor in its place (gpu.py). The operations themselves and
the layers are in test_operations.py and test_layers*.py, with those of the other backends.
"""

import gc
import importlib
from functools import cache
from types import SimpleNamespace

import comparison
import cupy_on_host
import gpu
import numpy as np
import pytest
from comparison import SEEDS, Draw
from cupy_on_host import State
from examples import BACKENDS, convolutional, labels_for, mnist
from operations import CASES

import minae
from minae import recipes
from minae.layers import Dense, Dropout, Sequential
from minae.losses import MSE
from minae.models import Autoencoder, ContractiveAutoencoder
from minae.models.contractive import jacobian_norms
from minae.optim import SGD, Adam, WarmUp
from minae.training import Training

pytestmark = pytest.mark.skipif(gpu.problem() is not None, reason=str(gpu.problem()))
emulated = pytest.mark.skipif(gpu.has_gpu(), reason="of the processor in place of a GPU")


@pytest.fixture(scope="module")
def ops():
    return gpu.backend()


# ------------------------------------------------------------ arrays
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16", "int32", "int64"])
def test_arrays_there_and_back(ops, dtype):
    for layout in comparison.LAYOUTS:
        host = comparison.laid_out(np.arange(24).reshape(2, 3, 4).astype(dtype), layout)
        x = ops.asarray(host)
        assert gpu.device().is_array(x) and x.dtype == dtype and x.flags.c_contiguous
        assert ops.asarray(x) is x
        np.testing.assert_array_equal(ops.to_numpy(x), host)
        for view, wanted in (
            (x.T, host.T),
            (x[:, 1:], host[:, 1:]),
            (x[:, :, ::2], host[:, :, ::2]),
        ):
            np.testing.assert_array_equal(ops.to_numpy(view), wanted)
            np.testing.assert_array_equal(ops.to_numpy(ops.asarray(view)), wanted)
    assert not ops.to_numpy(ops.zeros((5, 7), dtype)).any()
    assert ops.empty((5, 7), dtype).shape == (5, 7)
    as_double = ops.asarray(x, np.float64)
    assert as_double.dtype == np.float64
    np.testing.assert_array_equal(ops.to_numpy(as_double), host)


def test_the_card_has_a_name(ops):
    assert ops.device_name().endswith("GiB)")
    ops.set_threads(1)


@emulated
def test_too_little_memory(ops, monkeypatch):
    monkeypatch.setattr(State, "memory", 2**20)
    for make in (ops.empty, ops.zeros):
        with pytest.raises(minae.MinaeError, match=r"too little memory: 2 MiB wanted, 1 of 1 MiB"):
            make((2**18,), np.float64)
    with pytest.raises(minae.MinaeError, match="smaller --batch-size, or --backend numba"):
        ops.asarray(np.zeros(2**18))


@emulated
def test_arrays_that_32_bits_cannot_count(ops, monkeypatch):
    monkeypatch.setattr(gpu.device(), "MOST", 100)
    x = ops.zeros((101,), np.float32)
    with pytest.raises(minae.MinaeError, match=r"up to 100 elements, found shape \(101,\)"):
        ops.add(x, x, out=x)


def test_arrays_of_five_axes_are_refused(ops):
    x = ops.zeros((1, 1, 1, 1, 1), np.float32)
    with pytest.raises(minae.MinaeError, match="up to 4 axes"):
        ops.copy(x, out=x)


@emulated
@pytest.mark.parametrize("name", CASES)
def test_a_second_call_allocates_nothing_and_waits_for_nothing(ops, name):
    for seed in range(4):
        call = CASES[name](Draw(np.float32, seed))
        memories = {}
        arrays = {
            n: gpu.on_device(x, memories) for n, x in comparison.arrays_of(name, call).items()
        }
        arguments, keywords = comparison.filled(name, call, arrays)
        getattr(ops, name)(*arguments, **keywords)
        before = State.allocations, State.synchronizations
        getattr(ops, name)(*arguments, **keywords)
        assert (State.allocations, State.synchronizations) == before


# ------------------------------------------------------------ the order of threads and blocks
@emulated
@pytest.mark.parametrize("name", CASES)
def test_results_do_not_depend_on_the_order_of_threads_and_blocks(name, monkeypatch):
    """Bit for bit, forwards and backwards: no race, no missing barrier, no sum in any order."""
    on_host = gpu.OnHost(gpu.backend())
    draws = [Draw(np.float32, seed) for seed in SEEDS] + [Draw(np.float32, 0, large=True)]
    for draw in draws:
        call = CASES[name](draw)
        found = []
        for backwards in (False, True):
            monkeypatch.setattr(State, "backwards", backwards)
            found.append(comparison.run(on_host, name, call))
        for result in found[0]:
            np.testing.assert_array_equal(found[0][result], found[1][result], strict=True)


# ------------------------------------------------------------ sums
SHAPES = [(1, 1, 1), (33, 5, 1), (300, 33, 1), (257, 3, 4), (40, 7, 9), (70, 3, 25), (33, 40, 31)]
SHAPES += [(3, 2, 32), (5, 17, 33), (40, 3, 144), (5, 1, 784), (1030, 1, 200)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("per_sample", [False, True])
def test_sums_over_channels_of_every_shape(shape, per_sample):
    """Few and many channels, narrow and wide images, one chunk of samples and many."""
    N, K, L = shape
    rng, found = np.random.default_rng(0), []
    dy, y = rng.normal(size=(2, N, K, 1, L))
    for ops in (minae.get_backend("numpy"), gpu.OnHost(gpu.backend())):
        dx, db = np.full(dy.shape, np.nan), np.full((N, K) if per_sample else (K,), np.nan)
        ops.bias_activation_backward(dy, y, "tanh", 0.0, dx=dx, db=db)
        found.append((dx, db))
    for wanted, one in zip(*found, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics_of_every_shape(shape):
    N, K, L = shape
    if N * L == 1:
        return  # no variance
    rng, found = np.random.default_rng(0), []
    x, dy = rng.normal(3, 2, size=(2, N, K, 1, L))
    gamma, beta = rng.normal(size=(2, K))
    for ops in (minae.get_backend("numpy"), gpu.OnHost(gpu.backend())):
        y, dx = np.full((2, *x.shape), np.nan)
        running, (mean, inv_std, dgamma, dbeta) = np.zeros((2, K)), np.full((4, K), np.nan)
        statistics = {"mean": mean, "inv_std": inv_std}
        ops.batch_norm_forward(x, gamma, beta, *running, 0.1, 1e-5, out=y, **statistics)
        gradients = {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}
        ops.batch_norm_backward(dy, x, gamma, mean, inv_std, **gradients)
        found.append((y, dx, running, mean, inv_std, dgamma, dbeta))
    for wanted, one in zip(*found, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [1, 255, 257, 2**18 + 1, 2**18 + 300])
def test_sums_over_the_whole_leave_their_tickets(n):
    """More elements than threads, the last block alone, and the second call as the first."""
    t, y = np.random.default_rng(0).normal(size=(2, 1, n))
    for _ in range(2):
        value = np.full(1, np.nan)
        gpu.OnHost(gpu.backend()).mse(y, t, 0.5, value=value, dy=None)
        assert value[0] == pytest.approx(0.5 * np.sum((y - t) ** 2), rel=1e-12)


def test_sums_are_the_same_each_time(ops):
    """Bit for bit: the last block of a grid reads what all the others wrote, however they raced."""
    N, K = (2048, 784) if gpu.has_gpu() else (300, 40)
    y, t = (ops.asarray(a) for a in np.random.default_rng(0).random((2, N, K), np.float32))
    value, db = ops.zeros((1,), np.float64), ops.zeros((K,), np.float32)
    dx, found = ops.zeros((N, K), np.float32), set()
    for _ in range(300 if gpu.has_gpu() else 3):
        ops.bce(y, t, 1.0, value=value, dp=dx)
        ops.bias_activation_backward(dx, y, "sigmoid", 0.0, dx=dx, db=db)
        found.add((ops.to_numpy(value).tobytes(), ops.to_numpy(db).tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("n", [1, 15, 16, 255, 4095, 60_000])
def test_keys_are_sorted_again_and_again(ops, n):
    """Few and many buckets; counts are left as they were found."""
    keys = np.random.default_rng(n).integers(2**32, size=(3, n, 2), dtype=np.uint32)
    keys[1:, :, 0] >>= 4  # in the first buckets
    order = ops.empty((n,), np.int64)
    for some in keys:
        ops.argsort(ops.asarray(some), out=order)
        wanted = np.lexsort((some[:, 1], some[:, 0]))
        np.testing.assert_array_equal(ops.to_numpy(order), wanted)


@emulated
@pytest.mark.parametrize("shape", [(256, 16, 144), (256, 32, 25), (256, 64, 4), (16384, 1, 784)])
def test_sums_over_channels_fill_a_card(shape, monkeypatch):
    """A block for half of an H200's 132 multiprocessors or more, and few numbers a thread."""
    arrays, grids = column("arrays"), []
    monkeypatch.setattr(arrays, "launch", lambda f, k, d, grid, *_, **__: grids.append(grid))
    x = SimpleNamespace(shape=(*shape[:2], 1, shape[2]))
    arrays.channel_sums("activations", "any", np.float32, x)
    blocks = np.prod(grids[0])
    assert 64 <= blocks <= 8192
    assert np.prod(shape) / blocks / 256 <= 16


# ------------------------------------------------------------ tiles
@pytest.mark.parametrize("tile", [(32, 64), (64, 32), (64, 64), (128, 128)])
def test_products_in_tiles_of_every_size(tile, monkeypatch):
    """Small matrices too: by themselves they choose the small tiles only."""
    monkeypatch.setattr(column("dense"), "tile", lambda M, R: tile)
    check_in_every_draw("matmul")


@pytest.mark.parametrize("operation", ["forward", "input_gradient", "weight_gradient"])
@pytest.mark.parametrize("height", [16, 64])
def test_convolutions_in_tiles_of_every_size(height, operation, monkeypatch):
    monkeypatch.setattr(column("conv2d"), "tile", lambda channels: height)
    check_in_every_draw(f"conv2d_{operation}")


def column(file):
    return importlib.import_module(f"{gpu.backend().__name__}.{file}")


def check_in_every_draw(name):
    on_host = gpu.OnHost(gpu.backend())
    for dtype in comparison.DTYPES:
        for seed in SEEDS:
            comparison.check(on_host, name, CASES[name](Draw(dtype, seed)), dtype)


def test_divisors_divide():
    """Small and large numbers, and those beside a multiple of the divisor."""
    device = gpu.device()
    text = (device.KERNELS / "product.cuh").read_text(encoding="utf-8").split("#define DEPTH")[0]
    code = text.encode("ascii", "ignore").decode() + (
        'extern "C" __global__ void k(const int *n, const int *d, int count, int *q, int *r) {\n'
        "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "    if (i < count) { q[i] = n[i] / divisor(d[i]); r[i] = n[i] % divisor(d[i]); }\n"
        "}\n"
    )
    module = device.cupy.RawModule(code=code, options=device.options(np.float32), backend="nvrtc")
    rng, most = np.random.default_rng(0), 2**31 - 1
    d = np.concatenate([np.arange(1, 200), 2 ** np.arange(31), 2 ** np.arange(31) + 1])
    d = np.concatenate([d, [most, most - 1], rng.integers(1, most, 500)])
    n = [0 * d, d - 1, d, most - most % d - 1, most - most % d, 0 * d + most]
    n = np.stack([*n, *rng.integers(0, most, (9, len(d)))])
    n, d = (x.ravel().astype(np.int32) for x in np.broadcast_arrays(n, d))
    q, r = device.zeros(n.shape, n.dtype), device.zeros(n.shape, n.dtype)
    given = (device.from_host(n), device.from_host(d), np.int32(n.size), q, r)
    with device._stream:
        module.get_function("k")((device.for_each(n.size),), (256,), given)
    np.testing.assert_array_equal(device.to_host(q), n // d)
    np.testing.assert_array_equal(device.to_host(r), n % d)


def test_large_products_take_large_tiles():
    """128x128 where these make a block for each multiprocessor of a large card twice over."""
    tile = column("dense").tile
    assert tile(16384, 784) == (128, 128)
    assert tile(256, 784) == tile(16384, 64) == (64, 64)
    assert (tile(256, 20), tile(20, 256)) == ((64, 32), (32, 64))


@pytest.mark.parametrize("terms", [1, 15, 64, 100, 784, 16384, 3_211_264])
@pytest.mark.parametrize("blocks", [1, 7, 255, 256, 1000])
def test_every_term_falls_to_one_part(terms, blocks):
    parts, each = column("arrays").split(terms, blocks, 32)
    assert (parts - 1) * each < terms <= parts * each
    assert each % 16 == 0 and 1 <= parts <= 32
    assert parts == 1 or (each >= 64 and parts * blocks <= (256 if each < 1024 else 1024))


# ------------------------------------------------------------ graphs
def test_a_recording_is_done_once_and_then_when_it_is_replayed(ops):
    total, one = ops.zeros((1,), np.float64), ops.asarray(np.ones(1))
    replay = ops.record(lambda: ops.add(total, one, out=total))
    assert ops.to_numpy(total)[0] == 1
    for done in (2, 3):
        replay()
        assert ops.to_numpy(total)[0] == done


def test_a_recording_keeps_its_scratch_space(ops):
    """A slot that grows afterwards takes new memory; the recorded kernels go on in the old."""
    a, b = np.random.default_rng(0).normal(size=(2, 64, 2048)).astype(np.float32)
    x, y, out = ops.asarray(a), ops.asarray(b), ops.empty((64, 64), np.float32)

    def run():
        ops.matmul(x, y, out=out, transpose_b=True)  # in parts, which lie in scratch space

    replay = ops.record(run)
    ops.copy(ops.zeros((64, 64), np.float32), out=out)
    large = ops.zeros((256, 4096), np.float32)
    ops.matmul(large, large, out=ops.empty((256, 256), np.float32), transpose_b=True)
    gc.collect()
    replay()
    np.testing.assert_allclose(ops.to_numpy(out), a @ b.T, rtol=1e-4, atol=1e-3)


def test_what_cannot_be_recorded_is_refused(ops):
    """Also where CUDA itself would allow it: memory out of CuPy's pool."""
    x = ops.zeros((3,), np.float32)
    for run in (lambda: ops.to_numpy(x), lambda: ops.empty((7,), np.float32)):
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            ops.record(run)
        ops.to_numpy(x)  # and the capture is over
    ops.empty((7,), np.float32)


# ------------------------------------------------------------ whole steps
STEPS = 20


def small():
    return Autoencoder(
        (784,),
        encoder=Sequential(Dense(784, 16, activation="tanh"), Dropout(0.2), Dense(16, 5)),
        decoder=Dense(5, 784, activation="sigmoid"),
        loss=MSE("image"),
    )


def losses(training, steps):
    to_numpy = training.model.ops.to_numpy
    return [float(to_numpy(training.step().values["loss"])[0]) for _ in range(steps)]


def trained(backend, dtype, model, optimizer, steps, batch_size, samples):
    images, labels = mnist(samples)
    model.bind(gpu.get_backend(backend), dtype, seed=3)
    training = Training(
        model, optimizer, images, *labels_for(model, labels), batch_size=batch_size, seed=5
    )
    return losses(training, steps), training


def test_twenty_steps_as_on_numpy():
    """Three epochs of two batch shapes, dropout, a schedule and clipping: float64 to 1e-9, float32
    to its rounding."""
    runs = {
        (backend, dtype): trained(
            backend, dtype, small(), Adam(0.01, schedule=WarmUp(7), max_norm=1.0), STEPS, 8, 50
        )
        for backend in ("numpy", "cupy")
        for dtype in ("float32", "float64")
    }
    for dtype, near in (("float64", 1e-9), ("float32", 1e-4)):
        (wanted, by_numpy), (found, by_cupy) = runs["numpy", dtype], runs["cupy", dtype]
        np.testing.assert_allclose(found, wanted, rtol=near)
        assert by_cupy.averages() == {"loss": pytest.approx(by_numpy.averages()["loss"], rel=near)}
        weights = by_cupy.model.parameters.to_numpy()
        for path, w in by_numpy.model.parameters.to_numpy().items():
            np.testing.assert_allclose(weights[path], w, rtol=near, atol=near)


@pytest.mark.parametrize("name", recipes.image_recipes())
def test_recipe_as_on_numpy(name):
    """The first steps of every recipe, eager and replayed. On a processor in small batches."""
    batch_size, steps = (256, STEPS) if gpu.has_gpu() else (4, 3)
    runs = []
    for backend in ("numpy", "cupy"):
        recipe = recipes.make(name)
        run = trained(
            backend, "float32", recipe.model, recipe.optimizer, steps, batch_size, 5 * batch_size
        )
        runs.append(run[0])
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in recipes.RECIPES if n not in recipes.image_recipes()])
def test_recipe_of_other_data_as_on_numpy(name):
    """Series, records, levels and music: the first steps, and what the model makes of data."""
    data = recipes.data(name).load()
    options = {n: v for n, v in data.dimensions.items() if n in recipes.options(name)}
    found = []
    for backend in ("numpy", "cupy"):
        recipe = recipes.make(name, **options)
        model = recipe.model.bind(gpu.get_backend(backend), "float32", seed=3)
        training = Training(model, recipe.optimizer, data.train_images[:20], batch_size=4, seed=5)
        found.append((losses(training, 3), model.reconstruct(data.test_images[:6]), model))
    (wanted, y, on_numpy), (steps, y_found, on_cupy) = found
    np.testing.assert_allclose(steps, wanted, rtol=1e-4)
    np.testing.assert_allclose(y_found, y, rtol=1e-3, atol=1e-4)
    check_figures(on_cupy, on_numpy, data.test_images[:6])
    if hasattr(on_numpy, "errors"):
        errors = (model.errors(data.test_images[:6]) for model in (on_cupy, on_numpy))
        np.testing.assert_allclose(*errors, rtol=1e-3, atol=1e-4)


def check_figures(model, on_numpy, *data):
    wanted, found = on_numpy.evaluate(*data), model.evaluate(*data)
    assert found == {name: pytest.approx(value, rel=1e-3) for name, value in wanted.items()}


@pytest.mark.parametrize("stack", [("tanh",), ("sigmoid", "tanh"), ("elu", "softplus", "tanh")])
def test_contractive_stack_as_on_numpy(stack):
    """Its closed form, and the Jacobian of several layers row by row."""
    images, found = np.random.default_rng(0).random((12, 6)), []
    for backend in ("numpy", "cupy"):
        layers = [Dense(6 - i, 5 - i, activation=a) for i, a in enumerate(stack)]
        model = ContractiveAutoencoder(
            (6,),
            encoder=Sequential(*layers),
            decoder=Dense(6 - len(stack), 6),
            loss=MSE("image"),
            weight=0.7,
        ).bind(gpu.get_backend(backend), "float64", seed=3)
        training = Training(model, SGD(0.05), images, batch_size=5, seed=5)
        found.append([*losses(training, 6), *jacobian_norms(model, images)])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


def test_convolutions_with_batch_normalization_as_on_numpy():
    runs = [
        trained(backend, "float64", convolutional(), SGD(0.05, 0.9), 4, 6, 12)[0]
        for backend in ("numpy", "cupy")
    ]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-9)


def test_replaying_is_what_running_is(monkeypatch):
    """Bit for bit, with and without a graph."""
    found = []
    for record in (gpu.backend().record, lambda run: (run(), run)[1]):
        monkeypatch.setattr(gpu.backend(), "record", record)
        steps, training = trained("cupy", "float32", small(), Adam(0.01), 8, 8, 20)
        found.append((steps, training.model.ops.to_numpy(training.model.parameters.values)))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_a_restored_training_goes_on_as_if_never_stopped():
    """Bit for bit, from the middle of an epoch."""
    whole, training = trained("cupy", "float32", small(), Adam(0.01), 8, 8, 20)
    _, stopped = trained("cupy", "float32", small(), Adam(0.01), 5, 8, 20)
    model = small().bind(gpu.backend(), "float32", seed=4)
    again = Training(model, Adam(0.01), mnist(20)[0], batch_size=8, seed=5)
    again.restore(*stopped.state())
    assert losses(again, 3) == whole[5:]
    assert again.averages() == training.averages()
    for path, w in training.model.parameters.to_numpy().items():
        np.testing.assert_array_equal(model.parameters.to_numpy()[path], w)


@emulated
def test_a_step_allocates_nothing_and_waits_for_nothing():
    """Within an epoch, once each batch shape has been recorded; and it is one graph."""
    _, training = trained("cupy", "float32", small(), Adam(0.01), 6, 8, 20)
    assert training.at_epoch_end
    waited = State.synchronizations
    training.step()  # draws the epoch's order, which is not waited for
    assert State.synchronizations == waited
    before = State.allocations, State.synchronizations
    training.step()
    training.step()
    assert (State.allocations, State.synchronizations) == before


@cache
def bound(name):
    recipe = recipes.make(name)
    return recipe.model.bind(gpu.backend(), "float32", 1)


def test_a_bound_model_encodes_and_decodes():
    images, _ = mnist(5)
    model, on_numpy = bound("vae"), recipes.make("vae").model.bind("numpy", "float32", 1)
    np.testing.assert_allclose(model.encode(images), on_numpy.encode(images), rtol=1e-4, atol=1e-5)
    pixels = model.sample(3, seed=2)
    np.testing.assert_allclose(pixels, on_numpy.sample(3, seed=2), rtol=1e-4, atol=1e-5)
    for figure, value in on_numpy.evaluate(images).items():
        assert model.evaluate(images)[figure] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("name", recipes.image_recipes())
def test_figures_as_on_numpy(name):
    (images, labels), model = mnist(6), recipes.make(name).model
    on_numpy = model.bind("numpy", "float32", 1)
    check_figures(bound(name), on_numpy, images, *labels_for(model, labels))


def test_bounds_of_many_draws_as_on_numpy():
    images, _ = mnist(3)
    on_numpy = recipes.make("iwae").model.bind("numpy", "float32", 1)
    wanted = on_numpy.nll(images, samples=60)
    np.testing.assert_allclose(bound("iwae").nll(images, samples=60), wanted, rtol=1e-4)


def test_a_model_is_saved_on_one_backend_and_loaded_on_another(tmp_path):
    minae.save(bound("vae"), tmp_path / "model.safetensors")
    again = minae.load(tmp_path / "model.safetensors", backend="numpy")
    for path, w in bound("vae").parameters.to_numpy().items():
        np.testing.assert_array_equal(again.parameters.to_numpy()[path], w)


def test_every_test_of_the_cpu_backends_runs_on_a_gpu():
    assert ("cupy" in BACKENDS) == gpu.has_gpu()


# ------------------------------------------------------------ the processor in place of a GPU
def build(body, shared=""):
    """A kernel `k(real *x, int n)` with this body."""
    code = f'extern "C" __global__ void k(real *x, int n) {{ {shared} {body} }}\n'
    module = cupy_on_host.RawModule(code=code, options=("-Dreal=float",), backend="nvrtc")
    return module.get_function("k")


def launched(kernel, n=64, x=None):
    x = cupy_on_host.zeros(n, np.float32) if x is None else x
    with cupy_on_host.Stream(non_blocking=True):
        kernel((1,), (64,), (x, np.int32(n)))
    return x._values.copy()


@emulated
def test_threads_meet_at_barriers():
    reverse = (
        "tile[threadIdx.x] = threadIdx.x; __syncthreads(); x[threadIdx.x] = tile[63 - threadIdx.x];"
    )
    found = launched(build(reverse, "__shared__ float tile[64];"))
    np.testing.assert_array_equal(found, np.arange(63, -1, -1))


@emulated
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("if (threadIdx.x < 9) return; __syncthreads();", "ended before a barrier"),
        ("if (threadIdx.x < 9) {__syncthreads();} else {\n__syncthreads();}", "different barriers"),
        ("if (threadIdx.x == 0) x[n] = 1;", "wrote beyond an array"),
    ],
)
def test_faults_of_kernels_are_seen(body, complaint):
    with pytest.raises(AssertionError, match=complaint):
        launched(build(body))


@emulated
def test_a_missing_barrier_and_unwritten_memory_give_nan():
    racing = "tile[threadIdx.x] = 1; x[threadIdx.x] = tile[63 - threadIdx.x];"
    assert np.isnan(launched(build(racing, "__shared__ float tile[64];"))).any()
    assert np.isnan(launched(build("x[threadIdx.x] += 1;"), x=cupy_on_host.empty(64, "f4"))).all()


@emulated
@pytest.mark.parametrize(
    "arguments",
    [
        (np.int32(3),),
        (np.float64(3.0), np.int32(3)),
        (cupy_on_host.zeros(3, np.float64), np.int32(3)),
        (cupy_on_host.zeros(3, np.float32), np.int64(3)),
        (np.zeros(3, np.float32), np.int32(3)),
    ],
    ids=["too few", "a number", "another dtype", "a wider number", "an array of the host"],
)
def test_arguments_that_the_kernel_does_not_declare(arguments):
    kernel = build("x[0] = 1;")
    with pytest.raises((AssertionError, KeyError)), cupy_on_host.Stream(non_blocking=True):
        kernel((1,), (64,), arguments)


@emulated
def test_arrays_do_not_become_numpys_in_silence():
    x = cupy_on_host.zeros(3, np.float32)
    for use in (np.asarray, np.sum, lambda x: np.ones(3) + x):
        with pytest.raises(TypeError):
            use(x)
