"""Every operation of every backend against `reference/` and against PyTorch; see comparison.py."""

import tracemalloc
from dataclasses import replace
from itertools import permutations

import comparison
import numpy as np
import pytest
from cases_of_layers import draw_convolution
from comparison import DTYPES, SEEDS, Draw, check, clone, parameters, ref, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operations import CASES, cases_of_layers, cases_of_training
from threadpoolctl import threadpool_info, threadpool_limits

import minae
from minae.backends.spec import ACTIVATIONS, OPERATIONS
from reference.philox import KNOWN_ANSWERS, philox4x32

EXTREMES = np.array([-1e4, -1e3, -100, -88, -40, -5, -1e-30, 0, 1e-30, 5, 40, 88, 100, 1e3, 1e4])
RANDOM = [name for name in CASES if name.startswith("random_")]

pytestmark = pytest.mark.filterwarnings("error")
of_each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
of_each_operation = pytest.mark.parametrize("name", CASES)
examples = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def draw_from(data):
    """A Draw whose every choice is Hypothesis's, so that a failure is shrunk."""
    dtype = data.draw(st.sampled_from(DTYPES))
    seed = data.draw(st.integers(0, 2**32 - 1))
    return Draw(dtype, seed, lambda options: data.draw(st.sampled_from(options)))


# ------------------------------------------------------------ against the two judges
@of_each_operation
@of_each_dtype
def test_operation(ops, name, dtype):
    for seed in SEEDS:
        check(ops, name, CASES[name](Draw(dtype, seed)), dtype)
    check(ops, name, CASES[name](Draw(dtype, 0, large=True)), dtype)


@of_each_operation
@examples
@given(data=st.data())
def test_operation_of_any_shape_and_layout(ops, name, data):
    draw = draw_from(data)
    check(ops, name, CASES[name](draw), draw.dtype)


def test_pytorch_judges_all_but_random_numbers():
    unjudged = [name for name in CASES if CASES[name](Draw(np.float64, 0)).torch is None]
    assert unjudged == RANDOM


@examples
@given(data=st.data())
def test_the_gradients_of_a_convolution_are_its_adjoints(ops, data):
    """<conv(x, w), y> = <x, convT(y, w)> = <w, dw(x, y)>, with no oracle."""
    draw = draw_from(data)
    c = draw_convolution(draw)
    x, w, y = (draw.rng.normal(size=shape).astype(draw.dtype) for shape in (c.x, c.w, c.y))

    def products(x, w, y):
        conv, dx, dw = (draw.out(shape) for shape in (c.y, c.x, c.w))
        ops.conv2d_forward(x, w, *c.geometry, out=conv)
        ops.conv2d_input_gradient(y, w, *c.geometry, out=dx)
        ops.conv2d_weight_gradient(x, y, *c.geometry, out=dw)
        return [np.vdot(a.astype(np.float64), b) for a, b in ((conv, y), (dx, x), (dw, w))]

    found = products(x, w, y)
    size = max(products(abs(x), abs(w), abs(y)))
    terms = max(c.w[0] * c.w[2] * c.w[3], c.w[1] * c.w[2] * c.w[3], c.y[0] * c.y[2] * c.y[3])
    assert np.ptp(found) <= 2 * comparison.tolerance(draw.dtype, terms) * size


@of_each_dtype
@pytest.mark.parametrize("K", [4, 8, 9, 16, 17, 40, 64])
def test_convolutions_to_many_channels(ops, monkeypatch, dtype, K):
    """Channels that fill half a vector, one, more than one and a part of one, with every number of
    positions and of places of the kernel that is left over from whole tiles."""
    for W in range(1, 15):
        C, N = W % 5 + 1, W % 7 + 1
        geometry = (1, 1), (0, 1), (1, 1), 1
        c = cases_of_layers.Convolution((N, C, 1, W), (K, C, 1, 3), (N, K, 1, W), geometry)
        monkeypatch.setattr(cases_of_layers, "draw_convolution", lambda draw, c=c: c)
        for name in ("conv2d_forward", "conv2d_weight_gradient"):
            check(ops, name, CASES[name](Draw(dtype, W)), dtype)


# ------------------------------------------------------------ at the ends of the number range
@of_each_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_extreme_values(ops, activation, dtype):
    draw = Draw(dtype, 0)
    x = draw.array(np.stack((EXTREMES, EXTREMES[::-1])).astype(dtype))
    forward = cases_of_layers.bias_activation_forward_call(draw, x, None, activation, 0.1)
    check(ops, "bias_activation_forward", forward, dtype)
    backward = cases_of_layers.bias_activation_backward_call(draw, x, None, activation, 0.1)
    check(ops, "bias_activation_backward", backward, dtype)


@of_each_dtype
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_bce_of_extreme_values(ops, t, dtype):
    draw = Draw(dtype, 0)
    logits = EXTREMES[None].astype(dtype)
    call = cases_of_training.bce_with_logits_call(draw, logits, np.full_like(logits, t), 1.0)
    check(ops, "bce_with_logits", call, dtype)
    p = np.array([[0, 1e-30, 1e-13, 1e-5, 0.5, 1 - 1e-6, 1]], dtype)
    call = cases_of_training.bce_call(draw, p, np.full_like(p, t), 1.0)
    check(ops, "bce", replace(call, torch=None), dtype)  # whose 1e-12 is a float32 even in float64


@of_each_dtype
def test_softmax_cross_entropy_of_extreme_values(ops, dtype):
    logits = np.stack([np.roll(EXTREMES, k) for k in range(len(EXTREMES))]).astype(dtype)
    labels = np.arange(len(logits)) % 3
    call = cases_of_training.softmax_cross_entropy_call(Draw(dtype, 0), logits, labels, 1.0)
    check(ops, "softmax_cross_entropy", call, dtype)


@of_each_dtype
def test_latent_codes_of_extreme_values(ops, dtype):
    log_var = np.array([[-1e4, -100.0, -20.0, -1e-30, 0.0, 20.0, 80.0]], dtype)
    for mean in (0.0, 1e-30, -1e3):
        means = np.full_like(log_var, mean)
        call = cases_of_training.gaussian_kl_call(Draw(dtype, 0), means, log_var, 1.0)
        check(ops, "gaussian_kl", replace(call, torch=None), dtype)  # PyTorch's variance is 0 here


@of_each_dtype
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_clipping_neither_overflows_nor_underflows(ops, value, dtype):
    """The norm is a float64, so squares of float32 have room in it."""
    dw, norm = np.full(257, value, dtype), np.full(1, np.nan)
    ops.clip_by_norm(dw, 1e29, norm=norm)
    exact = float(dtype(value)) * np.sqrt(257)
    assert norm[0] == pytest.approx(exact, rel=1e-6, abs=0)
    np.testing.assert_allclose(dw, value * min(1, 1e29 / (exact + 1e-6)), rtol=1e-6)


@of_each_operation
def test_nan_is_passed_on(ops, name):
    """Where an input matters and a judge turns its NaN into NaN, so does the operation.

    An input matters if a large number in its place changes the result; one that is multiplied with
    padding alone does not.
    """
    for seed in SEEDS:
        call = CASES[name](Draw(np.float32, seed, layouts=("contiguous",)))
        if name == "bce":
            call = replace(call, torch=None)  # which refuses it
        watched = call.results if call.outputs else ("w",)  # without decay w leaves m and v alone
        usual, _ = comparison.judges(call)
        for place, parameter in enumerate(parameters(name)[: len(call.arguments)]):
            argument = call.arguments[place]
            if not comparison.is_float(argument) or argument.size == 0 or parameter == "lr":
                continue
            with np.errstate(all="ignore"):
                moved, _ = comparison.judges(with_number(call, place, seed, 1e3))
                judges = comparison.judges(with_number(call, place, seed, np.nan))
                found = run(ops, name, with_number(call, place, seed, np.nan))
            for result in watched:
                matters = (moved[result] != usual[result]).any()
                if matters and any(np.isnan(j[result]).any() for j in judges if result in j):
                    assert np.isnan(found[result]).any(), f"{result} hides a NaN of {parameter}"


def with_number(call, place, i, number):
    """The call with a number in place of element i, counted around, of an argument."""
    argument = call.arguments[place].copy()
    argument.flat[i % argument.size] = number
    return replace(
        call, arguments=(*call.arguments[:place], argument, *call.arguments[place + 1 :])
    )


# ------------------------------------------------------------ memory
@pytest.mark.parametrize("name", [name for name in CASES if name != "argsort"])  # see spec
@of_each_dtype
def test_a_call_allocates_nothing_that_was_made_before(cpu, name, dtype):
    """Less than 4 KiB, of Python objects, where the arrays are of about 1 MB. The least of three
    calls: what other threads of this process allocate meanwhile is counted as well."""
    for seed in range(7 if "activation" in name else 4):
        draw = Draw(dtype, seed, layouts=("contiguous", "transposed"), large=True)
        call = CASES[name](draw)
        arguments, keywords = comparison.filled(name, call, clone(comparison.arrays_of(name, call)))
        operation = getattr(cpu, name)
        operation(*arguments, **keywords)
        peak = min(allocated_by(operation, *arguments, **keywords) for _ in range(3))
        assert peak < 4096, f"{peak} bytes in the call of seed {seed}"


def allocated_by(operation, *arguments, **keywords):
    """The most bytes that Python and NumPy hold for a call at one time."""
    tracemalloc.start()
    try:
        operation(*arguments, **keywords)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@of_each_dtype
@pytest.mark.parametrize("name", ["bce_with_logits", "bce", "mse", "l1"])
@pytest.mark.parametrize("D", [1, 17, 33, 50, 64, 100, 1000])
def test_a_loss_does_not_depend_on_where_its_arrays_lie(cpu, name, D, dtype):
    """In any order and at any distance in memory, to the bit."""
    rng = np.random.default_rng(D)
    values = [rng.uniform(0.1, 0.9, (1, D)).astype(dtype) for _ in range(2)]
    found = set()
    for order in permutations(range(3)):
        for gap in (0, 1, 3, 16, 64, 200):
            memory = np.empty(3 * (D + gap), dtype)
            y, t, dy = (memory[i * (D + gap) :][:D].reshape(1, D) for i in order)
            y[:], t[:] = values
            value = np.empty(1)
            keyword = next(k for k in parameters(name) if k in ("dlogits", "dp", "dy"))
            getattr(cpu, name)(y, t, 0.7, value=value, **{keyword: dy})
            found.add((value.tobytes(), dy.tobytes()))
    assert len(found) == 1


# ------------------------------------------------------------ random numbers
def drawn(ops, name, seed, purpose, step, rows, D, dtype=np.float64):
    """An array of random numbers; Bernoulli with keep ½."""
    out = np.empty((len(rows), D), np.uint32 if name == "random_uint32" else dtype)
    keep = (0.5,) if name == "random_bernoulli" else ()
    getattr(ops, name)(seed, purpose, np.array([step]), np.asarray(rows), *keep, out=out)
    return out


def test_the_reference_knows_the_published_answers():
    """kat_vectors of Random123; the backends equal the reference bit for bit above."""
    blocks = ["6627e8d5 e169c58d bc57ac4c 9b00dbd8", "408f276d 41c83b0e a20bc7c6 6d5451fd"]
    blocks += ["d16cfe09 94fdcceb 5001e420 24126ea1"]
    assert [" ".join(f"{x:08x}" for x in block) for *_, block in KNOWN_ANSWERS] == blocks
    for counter, key, block in KNOWN_ANSWERS:
        assert philox4x32(counter, key) == block


def test_the_published_answer_that_a_draw_reaches(ops):
    """Counter 0, key 0. The others have block numbers that only a draw of gigabytes reaches."""
    found = drawn(ops, "random_uint32", 0, 0, 0, [0], 4)
    assert [f"{x:08x}" for x in found[0]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize("name", RANDOM)
def test_a_draw_does_not_depend_on_the_batch(ops, name):
    """Samples drawn together, apart, in another order, or with fewer columns."""
    rows = np.array([5, 0, 2**32 - 1, 17, 3, 60000, 4])
    together = drawn(ops, name, 7, 3, 11, rows, 33)
    for split in (1, 3, 6):
        parts = [drawn(ops, name, 7, 3, 11, part, 33) for part in (rows[:split], rows[split:])]
        np.testing.assert_array_equal(np.concatenate(parts), together)
    np.testing.assert_array_equal(drawn(ops, name, 7, 3, 11, rows[::-1], 33), together[::-1])
    for D in (1, 2, 5, 32):
        np.testing.assert_array_equal(drawn(ops, name, 7, 3, 11, rows, D), together[:, :D])


def test_each_part_of_the_key_makes_another_stream(ops):
    keys = [(0, 0, 0, 0), (1, 0, 0, 0), (2**32, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    words = [drawn(ops, "random_uint32", *key[:3], [key[3]], 256) for key in keys]
    assert len(np.unique(words)) > len(keys) * 256 - 3  # of 1536 words 0.0003 pairs are equal


def test_uniforms_are_the_same_in_both_dtypes_and_inside_0_and_1(ops):
    u32, u64 = (drawn(ops, "random_uniform", 1, 2, 3, range(257), 257, t) for t in DTYPES)
    np.testing.assert_array_equal(u32, u64)
    words = drawn(ops, "random_uint32", 1, 2, 3, range(257), 257)
    np.testing.assert_array_equal((words >> 9) + 0.5, u64 * 2**23)
    assert u32.min() > 0 and u32.max() < 1


def test_normals_to_a_few_ulp(ops):
    """In float64 against the reference, of the radius; in float32 those rounded once."""
    n32, n64 = (drawn(ops, "random_normal", 1, 2, 3, range(257), 258, t) for t in DTYPES)
    u = ref.random_uniform(1, 2, 3, np.arange(257), 258)
    radius = np.repeat(np.sqrt(-2 * np.log(u[:, 0::2])), 2, axis=1)
    error = np.abs(n64 - ref.random_normal(1, 2, 3, np.arange(257), 258))
    assert (error <= 4 * np.finfo(np.float64).eps * radius).all()
    np.testing.assert_array_equal(n32, n64.astype(np.float32))


def test_moments(ops):
    """Each within 5 standard errors of its value; neighbours in rows and columns uncorrelated."""
    rows, D = range(512), 1024
    n = len(rows) * D
    z = drawn(ops, "random_normal", 2026, 1, 0, rows, D)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * np.sqrt(variance / n)
    for neighbour in (np.roll(z, 1, axis=0), np.roll(z, 1, axis=1)):
        assert abs((z * neighbour).mean()) < 5 / np.sqrt(n)
        assert abs((z**2 * neighbour**2).mean() - 1) < 5 * np.sqrt(8 / n)
    u = drawn(ops, "random_uniform", 2026, 1, 0, rows, D)
    counts = np.bincount((u * 64).astype(int).ravel(), minlength=64)
    assert ((counts - n / 64) ** 2 / (n / 64)).sum() < 63 + 5 * np.sqrt(2 * 63)  # chi-square
    b = drawn(ops, "random_bernoulli", 2026, 1, 0, rows, D)
    assert abs(b.mean() - 0.5) < 5 * 0.5 / np.sqrt(n)


# ------------------------------------------------------------ the operations that return something
def check_empty(ops):
    check_new(ops.empty)


def check_zeros(ops):
    check_new(ops.zeros)
    assert not ops.to_numpy(ops.zeros((257, 3), np.float32)).any()


def check_new(new):
    for dtype in (*DTYPES, np.uint8, np.int32, np.int64, np.uint32):
        for shape in ((1,), (31, 33), (2, 3, 4, 5)):
            x, y = new(shape, dtype), new(shape, dtype)
            assert x.shape == shape and x.dtype == dtype and x.flags.c_contiguous
            assert not np.shares_memory(x, y)


def check_asarray(ops):
    for dtype in (*DTYPES, np.uint8, np.int64):
        for layout in comparison.LAYOUTS:
            host = comparison.laid_out(np.arange(12).reshape(3, 4).astype(dtype), layout)
            x = ops.asarray(host)
            assert x.dtype == dtype and x.flags.c_contiguous
            np.testing.assert_array_equal(ops.to_numpy(x), host)
    x = ops.asarray([[1, 2], [3, 4]], np.float32)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(ops.to_numpy(x), [[1, 2], [3, 4]])


def check_to_numpy(ops):
    x = ops.asarray(np.arange(6.0).reshape(2, 3))
    for view in (x, x.T, x[::-1]):
        host = ops.to_numpy(view)
        assert isinstance(host, np.ndarray) and not np.shares_memory(host, x)
        np.testing.assert_array_equal(host, view)
        host[...] = -1
    np.testing.assert_array_equal(x, [[0, 1, 2], [3, 4, 5]])


def check_set_threads(ops):
    """Bounds BLAS, and changes no result."""

    def counts():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    a, out = np.random.default_rng(0).normal(size=(257, 257)), np.empty((2, 257, 257))
    with threadpool_limits(2, user_api="blas"):
        for threads in (2, 1):
            ops.set_threads(threads)
            ops.matmul(a, a, out=out[threads - 1])
        assert ops.name == "cupy" or set(counts()) == {1}
    np.testing.assert_allclose(out[0], out[1], rtol=1e-12, atol=1e-12)


def check_sparse_pays(ops):
    """Only where many strips are zero; never on NumPy, which multiplies a mask in."""
    for operation in ("sparse_matmul", "sparse_weight_gradient"):
        assert ops.sparse_pays(operation, 256, 128, 0.39) == (ops.name == "numba")
        assert not ops.sparse_pays(operation, 256, 128, 0.95)
        assert not ops.sparse_pays(operation, 20, 128, 0.39)


def check_device_name(ops):
    assert isinstance(ops.device_name(), str) and ops.device_name().strip()


def check_record(ops):
    """What was recorded is done once, and again each time it is asked for."""
    total, one = ops.zeros((1,), np.float64), ops.asarray(np.ones(1))
    replay = ops.record(lambda: ops.add(total, one, out=total))
    for done in (1, 2, 3):
        assert ops.to_numpy(total)[0] == done
        replay()


def check_set_tf32(ops):
    """A processor has none, and says so where it is asked for."""
    ops.set_tf32(False)
    with pytest.raises(minae.MinaeError, match="--tf32 is for the cupy backend"):
        ops.set_tf32(True)


RETURNING = {
    "empty": check_empty,
    "zeros": check_zeros,
    "asarray": check_asarray,
    "to_numpy": check_to_numpy,
    "set_threads": check_set_threads,
    "set_tf32": check_set_tf32,
    "device_name": check_device_name,
    "record": check_record,
    "sparse_pays": check_sparse_pays,
}


@pytest.mark.parametrize("name", RETURNING)
def test_operation_that_returns_something(cpu, name):
    RETURNING[name](cpu)


def test_every_operation_is_tested():
    assert sorted([*CASES, *RETURNING]) == sorted(OPERATIONS)
