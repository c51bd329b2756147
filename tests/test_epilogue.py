"""Bias and activation, or f' and the bias gradient, in the kernel of the convolution before."""

import itertools

import numpy as np
import pytest

from minae.backends.cpu_numba import conv2d_channels, fusion
from minae.backends.cpu_numba.activations import bias_activation_backward, bias_activation_forward
from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.conv2d import conv2d_forward, conv2d_input_gradient
from minae.backends.cpu_numba.epilogue import activated, differentiated
from minae.backends.cpu_numba.vectors import RUN
from minae.backends.spec import ACTIVATIONS
from tests.test_fusion import NUMBA, NUMPY, training_of

GEOMETRIES = {  # C, H, W, K, kernel, stride, padding, dilation, groups
    "M3's first": (1, 28, 28, 16, (6, 6), (2, 2), (0, 0), (1, 1), 1),
    "M3's last": (1, 28, 28, 16, (6, 6), (3, 3), (4, 4), (1, 1), 1),
    "M5's second": (16, 14, 14, 32, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "few channels": (3, 9, 7, 5, (3, 2), (1, 2), (1, 0), (1, 1), 1),
    "groups, dilated": (4, 10, 9, 18, (3, 3), (1, 1), (2, 1), (2, 1), 2),
    "a patch that is cut": (2, 7, 7, 9, (4, 2), (2, 2), (1, 1), (1, 1), 1),
    "one place": (2, 1, 1, 3, (1, 1), (1, 1), (0, 0), (1, 1), 1),
}
SAMPLES = [1, 16, 37]
BIASES = ["one", "each", "none"]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"], autouse=True)
def threads(request):
    NUMBA.set_threads(request.param)
    yield
    NUMBA.set_threads(1)


def two_calls(
    direction,
    geometry,
    N=3,
    activation="relu",
    dtype=np.float64,
    *,
    biases="one",
    follows="forward",
):
    """A convolution of random numbers, and what follows it; what they write is NaN."""
    C, H, W, K, kernel, stride, padding, dilation, groups = GEOMETRIES[geometry]
    rng = np.random.default_rng(N)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    def unwritten(*shape):
        return np.full(shape, np.nan, dtype)

    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((H, W), kernel, stride, padding, dilation, strict=True)
    ]
    shared = {"w": normal(K, C // groups, *kernel), "stride": stride, "padding": padding}
    shared |= {"dilation": dilation, "groups": groups}
    if direction == "forward":
        out = unwritten(N, K, *size)
        convolution = (conv2d_forward, {"x": normal(N, C, H, W), **shared, "out": out})
    else:
        out = unwritten(N, C, H, W)
        convolution = (conv2d_input_gradient, {"dy": normal(N, K, *size), **shared, "out": out})
    of_bias = {"one": (out.shape[1],), "each": out.shape[:2], "none": None}[biases]
    f = {"activation": activation, "slope": 0.1}
    if follows == "forward":
        b = None if of_bias is None else normal(*of_bias)
        return [convolution, (bias_activation_forward, {"x": out, "b": b, **f, "out": out})]
    y, db = normal(*out.shape), None if of_bias is None else unwritten(*of_bias)
    NUMPY.bias_activation_forward(y, None, **f, out=y)
    then = {"dy": out, "y": y, **f, "dx": unwritten(*out.shape), "db": db}
    return [convolution, (bias_activation_backward, then)]


def done(calls, ops=None):
    """What calls leave in `out` or `dx`, and `db`, of the last one; with ops, by its operations."""
    for function, named in calls:
        (getattr(ops, function.__name__) if ops else function)(**named)
    named = calls[-1][1]
    return [named[name] for name in ("out", "dx", "db") if named.get(name) is not None]


@pytest.mark.parametrize(
    ("activation", "biases"),
    [pair for pair in itertools.product(ACTIVATIONS, BIASES) if pair != ("identity", "none")],
)
@pytest.mark.parametrize("follows", ["forward", "backward"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("direction", ["forward", "input gradient"])
def test_one_call_does_what_two_do(direction, geometry, follows, activation, biases):
    """In float64 to rounding; in float32 as near to them as sums of that many terms are."""
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 2e-5)):
        for N in SAMPLES:
            how = {"biases": biases, "follows": follows}
            wanted = done(two_calls(direction, geometry, N, activation, **how), NUMPY)
            calls = two_calls(direction, geometry, N, activation, dtype, **how)
            (one,) = fusion.fused(calls)
            assert one[0] is (activated if follows == "forward" else differentiated)
            for found, value in zip(done([one]), wanted, strict=True):
                largest = max(1, np.abs(value).max())
                np.testing.assert_allclose(found, value, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("follows", ["forward", "backward"])
def test_what_is_no_number_is_what_it_was(activation, follows):
    """NaN stays NaN, and of infinities there is what the two calls make of them."""
    found = []
    for fuse in (False, True):
        (function, named), then = two_calls(
            "forward", "few channels", 3, activation, follows=follows
        )
        for place, value in enumerate((np.nan, np.inf, -np.inf)):
            named["x"][place, :, 4, 4] = value
        calls = [(function, named), then]
        found.append(done(fusion.fused(calls) if fuse else calls))
    for two, one in zip(*found, strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(two))
        np.testing.assert_array_equal(np.isposinf(one), np.isposinf(two))
        np.testing.assert_array_equal(np.isneginf(one), np.isneginf(two))


def test_more_samples_than_a_chunk():
    """A part that turns its samples around in several goes."""
    for follows in ("forward", "backward"):
        shared = {"activation": "leaky_relu", "follows": follows}
        wanted = done(two_calls("input gradient", "one place", 1100, **shared), NUMPY)
        (one,) = fusion.fused(two_calls("input gradient", "one place", 1100, **shared))
        for found, value in zip(done([one]), wanted, strict=True):
            np.testing.assert_allclose(found, value, atol=1e-11)


def test_half_a_vector_of_channels():
    """Enough for one run of samples, and in forward for sums of few terms."""
    half = VECTOR_BYTES // 4 // 2
    measured = VECTOR_BYTES == 64
    for terms, N, forward, gradient in [
        (72, RUN, True, True),
        (72, RUN + 1, False, False),
        (9, RUN, True, True),
        (9, RUN + 1, True, False),
        (9, 4096, True, False),
    ]:
        x = np.empty((N, terms // 9, 6, 6), np.float32)
        w = np.empty((half, terms // 9, 3, 3), np.float32)
        assert conv2d_channels.forward_pays(w, 1, x) == (forward and measured)
        assert conv2d_channels.fill(half, x) == (gradient and measured)
        assert not conv2d_channels.forward_pays(w[:-1], 1, x)
        assert not conv2d_channels.fill(half - 1, x)


@pytest.mark.parametrize("N", [511, 512, 600])
def test_forward_by_either_kind_of_vectors(N):
    """Of many samples by vectors of samples, though there are channels enough to fill one."""
    C, H, W, K, kernel, *_, groups = GEOMETRIES["groups, dilated"]
    x, w = np.empty((N, C, H, W)), np.empty((K, C // groups, *kernel))
    assert conv2d_channels.forward_pays(w, groups, x) == (N < 512)
    wanted = done(two_calls("forward", "groups, dilated", N), NUMPY)
    (one,) = fusion.fused(two_calls("forward", "groups, dilated", N))
    for found, value in zip(done([one]), wanted, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-11)


def test_the_same_bits_every_time():
    def step():
        calls = two_calls("input gradient", "M5's second", 37, dtype=np.float32, follows="backward")
        return done(fusion.fused(calls))

    for first, second in zip(step(), step(), strict=True):
        np.testing.assert_array_equal(first, second)


# ------------------------------------------------------------------ which calls are replaced
def fuses(calls):
    return [function for function, _ in fusion.fused(calls)] != [function for function, _ in calls]


@pytest.mark.parametrize("follows", ["forward", "backward"])
def test_what_stands_between_comes_before(follows):
    """As the bias that label conditioning makes; but nothing that writes what is convolved."""
    first, then = two_calls("forward", "few channels", follows=follows)
    other = (NUMPY.add, {"a": np.ones(1), "b": np.ones(1), "out": np.empty(1)})
    functions = [function for function, _ in fusion.fused([other, first, other, then, other])]
    assert functions == [
        NUMPY.add,
        NUMPY.add,
        differentiated if follows == "backward" else activated,
        NUMPY.add,
    ]
    for name in ("x", "w", "out"):
        writing = (NUMPY.copy, {"x": np.ones(1), "out": first[1][name][:1]})
        assert not fuses([first, writing, then])


def test_a_gradient_that_another_call_reads_is_written():
    first, then = two_calls("forward", "few channels", follows="backward")
    reading = (NUMPY.copy, {"x": first[1]["out"][1:], "out": np.empty(1)})
    assert fuses([first, then])
    assert not fuses([first, then, reading])
    assert not fuses([reading, first, then])
    in_place = (then[0], then[1] | {"dx": first[1]["out"]})
    assert fuses([first, in_place, reading])  # it reads the derivative


def test_a_gradient_over_what_it_is_made_of_takes_two():
    first, then = two_calls("input gradient", "one place", follows="backward")
    for overlapping in (first[1]["dy"].reshape(-1)[:6].reshape(3, 2, 1, 1), then[1]["y"]):
        assert not fuses([first, (then[0], then[1] | {"dx": overlapping})])
    for name, value in (("y", first[1]["out"]), ("db", first[1]["out"][0, :, 0, 0])):
        assert not fuses([first, (then[0], then[1] | {name: value})])


@pytest.mark.parametrize("follows", ["forward", "backward"])
def test_what_does_nothing_stays_nothing(follows):
    """A convolution without bias or activation, before a batch norm."""
    shared = {"biases": "none", "follows": follows}
    assert not fuses(two_calls("forward", "few channels", activation="identity", **shared))


def test_another_number_of_threads_meanwhile():
    """Another training sets it, between the activation's kernel and the convolution's."""
    for direction, geometry in (("forward", "M3's first"), ("input gradient", "M3's last")):
        wanted = done(two_calls(direction, geometry, 16), NUMPY)
        NUMBA.set_threads(1)
        (one,) = fusion.fused(two_calls(direction, geometry, 16))
        convolve = one[1]["convolve"]

        def late(convolve=convolve, **arguments):
            NUMBA.set_threads(2)
            convolve(**arguments)

        for found, value in zip(done([(one[0], one[1] | {"convolve": late})]), wanted, strict=True):
            np.testing.assert_allclose(found, value, atol=1e-12)


@pytest.mark.parametrize("follows", ["forward", "backward"])
def test_what_is_not_quite_an_epilogue_stays(follows):
    first, then = two_calls("forward", "few channels", follows=follows)
    given = "x" if follows == "forward" else "dy"
    for changed in (
        {given: then[1][given].copy()},
        *([{"out": then[1]["out"].copy()}] if follows == "forward" else []),
        *([{"dx": np.empty((5, 3, 9, 8)).T}] if follows == "backward" else []),
    ):
        assert not fuses([first, (then[0], then[1] | changed)])
    assert not fuses([first])
    assert not fuses([then, first])


@pytest.mark.parametrize(
    ("name", "forward", "backward"), [("conv", 4, 2), ("cvae", 6, 4), ("conv-pool", 4, 0)]
)
def test_recipes(name, forward, backward):
    """All but the activations that a reshape, a pool or a loss stands beside."""
    training = training_of(name, "numba", np.float32)
    functions = [function for function, _ in training.step().replay.calls]
    assert (functions.count(activated), functions.count(differentiated)) == (forward, backward)
