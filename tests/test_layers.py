"""Every layer on every backend against PyTorch, with a random upstream gradient; and its manners.

`compare` runs a layer twice, in two caches, before it goes back through either. Float64 must agree
to 1e-10. In float32 a sum of n random terms keeps about √n units in the last place, and PyTorch
computes in float64 from the same float32 numbers.
"""

from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import pytest
import torch
from gpu import ALL_BACKENDS
from hypothesis import given, settings
from hypothesis import strategies as st

from minae import MinaeError, get_backend, layers
from minae.backends.spec import ACTIVATIONS
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
    MaskingNoise,
    MaxPool2d,
    Reshape,
    Sequential,
    Upsample2d,
)
from minae.parameters import Parameters
from tests.examples import (
    CLASSES,
    DTYPES,
    EXAMPLES,
    bind,
    classes_of,
    fill,
    new_batch,
    on_device,
    public_layers,
    shares_memory,
    walk,
)
from tests.torch_layers import Judge, tensor

MARGIN = 1e-5  # least distance of an input from a kink
BLOCK_EDGES = (1, 31, 32, 33, 257)

every_backend = pytest.mark.parametrize("backend", ALL_BACKENDS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_example = pytest.mark.parametrize("name", EXAMPLES)


def examples(count):
    return settings(max_examples=count, derandomize=True, deadline=None)


# ------------------------------------------------------------------ the comparison
@dataclass
class Pass:
    """One forward pass through minae and PyTorch."""

    cache: object
    x: object
    y: object
    dy: object
    x_tensor: torch.Tensor
    y_tensor: torch.Tensor


class Comparison:
    """A layer with random weights, and two forward passes of it in two caches."""

    def __init__(self, layer, x_shape, backend, dtype, seed, *, contiguous, training):
        self.layer, self.dtype = layer, dtype
        self.parameters = bind(layer, backend, dtype, seed)
        self.ops = ops = self.parameters.ops
        rng = np.random.default_rng(seed)
        arrays = self.parameters.views | self.parameters.statistics
        self.weights = {path: tensor(ops, array) for path, array in arrays.items()}
        for path in self.parameters.views:
            self.weights[path].requires_grad_()
        self.kink, self.passes = np.inf, []
        for number in range(2):
            batch = new_batch(
                self.parameters,
                x_shape[0],
                classes_of(layer),
                seed=2 * seed + number,
                training=training,
            )
            cache = layer.new_cache(x_shape, batch)
            x, dy = (
                on_device(ops, rng.normal(size=shape), dtype, contiguous=contiguous)
                for shape in (x_shape, cache.y_shape)
            )
            y = layer.forward(x, cache)
            judge = Judge(ops, self.weights, batch)
            x_tensor = tensor(ops, x).requires_grad_()
            y_tensor = judge.forward("layer", layer, x_tensor, cache)
            self.kink = min(self.kink, judge.kink)
            self.passes.append(Pass(cache, x, y, dy, x_tensor, y_tensor))

    def check_forward(self):
        for one in self.passes:
            self.close("y", one.y, one.y_tensor)
            np.testing.assert_array_equal(self.ops.to_numpy(one.x), one.x_tensor.detach())
        for path, array in self.parameters.statistics.items():
            self.close(path, array, self.weights[path])

    def check_backward(self):
        ops, gradients = self.ops, self.parameters.gradient_views
        for one in self.passes:
            dy = ops.to_numpy(one.dy)
            fill(ops, self.parameters.gradients, np.nan)
            dx = self.layer.backward(one.dy, one.cache)
            wanted = torch.autograd.grad(
                one.y_tensor,
                [one.x_tensor, *(self.weights[path] for path in gradients)],
                torch.from_numpy(dy.astype(np.float64)),
            )
            self.close("dx", dx, wanted[0])
            for (path, gradient), w in zip(gradients.items(), wanted[1:], strict=True):
                self.close(f"d {path}", gradient, w)
            np.testing.assert_array_equal(ops.to_numpy(one.x), one.x_tensor.detach())
            np.testing.assert_array_equal(ops.to_numpy(one.dy), dy)
            self.check_memory({"x": one.x, "y": one.y, "dy": one.dy, "dx": dx})

    def check_memory(self, arrays):
        """No result shares memory with another, but for the layers that only look at x."""
        views = isinstance(self.layer, Reshape)
        for path, gradient in self.parameters.gradient_views.items():
            arrays |= {f"d {path}": gradient, path: self.parameters.views[path]}
        for a, b in combinations(arrays, 2):
            shared = shares_memory(arrays[a], arrays[b])
            assert shared == (views and (a, b) in {("x", "y"), ("dy", "dx")}), (a, b)

    def close(self, name, found, wanted):
        wanted = wanted.detach().numpy()
        assert found.dtype == self.dtype, name
        found = self.ops.to_numpy(found)
        assert found.shape == wanted.shape, name
        error = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
        assert error <= self.tolerance(), f"{name}: error {error:.1e} > {self.tolerance():.1e}"

    def tolerance(self):
        if self.dtype == "float64":
            return 1e-10
        one = self.passes[0]
        lengths = [
            one.x.size // one.x.shape[1 % one.x.ndim],
            one.y.size // one.y.shape[1 % one.y.ndim],
        ]
        lengths += [
            w.size // min(w.shape[:2]) for w in self.parameters.views.values() if w.ndim > 1
        ]
        return 8 * np.finfo(np.float32).eps * np.sqrt(max(lengths))


def away_from_kinks(make, x_shape, backend, dtype, *, contiguous=True, training=True):
    """The first comparison, over seeds, whose numbers all keep MARGIN from a kink."""
    for seed in range(200):
        layer = make()
        comparison = Comparison(
            layer, x_shape, backend, dtype, seed, contiguous=contiguous, training=training
        )
        if comparison.kink > MARGIN:
            return comparison
    raise AssertionError("no input away from kinks in 200 draws")


def compare(make, x_shape, backend, dtype, *, contiguous=True):
    comparison = away_from_kinks(make, x_shape, backend, dtype, contiguous=contiguous)
    comparison.check_forward()
    comparison.check_backward()


# ------------------------------------------------------------------ every layer, one example
def test_every_layer_has_an_example():
    assert {type(make()).__name__ for make, _ in EXAMPLES.values()} == public_layers()


@every_backend
@every_dtype
@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "strided"])
@every_example
def test_example(name, contiguous, dtype, backend):
    compare(*EXAMPLES[name], backend, dtype, contiguous=contiguous)


@every_backend
@every_dtype
@every_example
def test_inference(name, dtype, backend):
    """As in training, but for batch normalization (running statistics) and dropout (identity)."""
    make, x_shape = EXAMPLES[name]
    comparison = away_from_kinks(make, x_shape, backend, dtype, training=False)
    comparison.check_forward()


@every_backend
@every_example
def test_without_dx_the_weights_still_have_their_gradients(name, backend):
    make, x_shape = EXAMPLES[name]
    layer = make()
    parameters = bind(layer, backend, "float64")
    ops = parameters.ops
    batch = new_batch(parameters, x_shape[0], classes_of(layer))
    x = on_device(ops, np.random.default_rng(0).normal(size=x_shape), "float64")
    gradients = []
    for needs_dx in (True, False):
        cache = layer.new_cache(x_shape, batch, needs_dx=needs_dx)
        dy = on_device(ops, np.random.default_rng(1).normal(size=cache.y_shape), "float64")
        layer.forward(x, cache)
        fill(ops, parameters.gradients, 0)
        dx = layer.backward(dy, cache)
        assert (dx is not None) == needs_dx
        gradients.append(ops.to_numpy(parameters.gradients))
    np.testing.assert_array_equal(*gradients)
    assert bool(parameters.count) == bool(gradients[0].any())


# ------------------------------------------------------------------ drawn by Hypothesis
fused = {
    "activation": st.sampled_from(ACTIVATIONS),
    "slope": st.sampled_from((0.0, 0.01, 0.3, 1.0, 1.5)),
    "bias": st.booleans(),
}
sizes = st.one_of(st.integers(1, 6), st.sampled_from(BLOCK_EDGES))


@every_backend
@every_dtype
@examples(50)
@given(
    N=sizes,
    C=sizes,
    K=sizes,
    classes=st.none() | st.integers(1, 11),
    options=st.fixed_dictionaries(fused),
)
def test_dense(backend, dtype, N, C, K, classes, options):
    def make():
        if classes is None:
            return Dense(C, K, **options)
        return ConditionalDense(C, K, **options, classes=classes)

    compare(make, (N, C), backend, dtype)


@st.composite
def convolutions(draw, rank, *, transposed=False, conditional=False):
    """(arguments, x_shape) with at least one output position."""
    G = 1 if conditional else draw(st.integers(1, 3))
    C, K = (G * draw(st.integers(1, 3)) for _ in range(2))
    extents, shape = [], [draw(st.integers(1, 4)), C]
    for _ in range(rank):
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        padding, dilation = 0 if conditional else draw(st.integers(0, 3)), draw(st.integers(1, 2))
        extra = draw(st.integers(0, stride - 1))
        reach = dilation * (kernel - 1) + 1
        if transposed:  # (size - 1) S - 2P + reach + extra >= 1
            least = 1 + max(0, -(-(2 * padding + 1 - reach - extra) // stride))
        else:  # size + 2P - reach >= 0
            least = max(1, reach - 2 * padding)
        extents.append((kernel, stride, padding, dilation, extra))
        shape.append(least + draw(st.integers(0, 5)))
    names = ("kernel_size", "stride", "padding", "dilation", "output_padding")
    columns = zip(*extents, strict=True)
    arguments = {
        name: values if rank == 2 else values[0]
        for name, values in zip(names, columns, strict=True)
    }
    if not transposed:
        del arguments["output_padding"]
    arguments |= {"in_channels": C, "out_channels": K, "groups": G}
    arguments |= draw(st.fixed_dictionaries(fused))
    if conditional:
        arguments["classes"] = draw(st.integers(1, 4))
    return arguments, tuple(shape)


@every_backend
@every_dtype
@examples(80)
@given(case=convolutions(2), contiguous=st.booleans())
def test_conv2d(backend, dtype, case, contiguous):
    arguments, x_shape = case
    compare(lambda: Conv2d(**arguments), x_shape, backend, dtype, contiguous=contiguous)


@every_backend
@every_dtype
@examples(80)
@given(case=convolutions(2, transposed=True), contiguous=st.booleans())
def test_conv_transpose2d(backend, dtype, case, contiguous):
    arguments, x_shape = case
    compare(lambda: ConvTranspose2d(**arguments), x_shape, backend, dtype, contiguous=contiguous)


@every_backend
@every_dtype
@examples(40)
@given(case=convolutions(1))
def test_conv1d(backend, dtype, case):
    arguments, x_shape = case
    compare(lambda: Conv1d(**arguments), x_shape, backend, dtype)


@every_backend
@every_dtype
@examples(40)
@given(case=convolutions(1, transposed=True))
def test_conv_transpose1d(backend, dtype, case):
    arguments, x_shape = case
    compare(lambda: ConvTranspose1d(**arguments), x_shape, backend, dtype)


@every_backend
@every_dtype
@examples(40)
@given(case=convolutions(2, conditional=True))
def test_conditional_conv2d_is_the_concatenation_of_label_planes(backend, dtype, case):
    arguments, x_shape = case
    compare(lambda: ConditionalConv2d(**arguments), x_shape, backend, dtype)


@every_backend
@every_dtype
@pytest.mark.parametrize(
    ("make", "x_shape"),
    [
        (lambda: Conv2d(33, 31, (1, 3), padding=(0, 1), activation="relu"), (2, 33, 2, 32)),
        (lambda: Conv2d(1, 32, 5, stride=2, activation="tanh"), (33, 1, 9, 9)),
        (lambda: Conv1d(1, 1, 3, padding=1, activation="elu"), (31, 1, 257)),
        (lambda: ConvTranspose2d(32, 33, 2, stride=2), (2, 32, 4, 4)),
        (lambda: ConvTranspose1d(31, 1, 4, stride=3, activation="sigmoid"), (1, 31, 33)),
        (lambda: ConditionalConv2d(1, 33, 6, stride=2, classes=CLASSES), (32, 1, 12, 12)),
        (lambda: BatchNorm2d(33), (31, 33, 3, 3)),
        (lambda: BatchNorm1d(1), (257, 1)),
        (lambda: MaxPool2d(2), (31, 3, 33, 32)),
        (lambda: AvgPool2d(2), (3, 31, 32, 33)),
        (lambda: Upsample2d(2), (1, 1, 33, 257)),
        (lambda: Activation("softplus"), (257, 257)),
        (lambda: Dropout(0.5), (33, 257)),
    ],
)
def test_block_edges(make, x_shape, dtype, backend):
    compare(make, x_shape, backend, dtype)


@every_backend
@every_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("x_shape", [(5,), (4, 7), (2, 3, 4), (3, 2, 4, 5)])
def test_activation(x_shape, activation, dtype, backend):
    compare(lambda: Activation(activation, 0.3), x_shape, backend, dtype)


@st.composite
def poolings(draw):
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = draw(st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4)))
    shape = [
        max(1, k - 2 * p) + draw(st.integers(0, 5)) for k, p in zip(kernel, padding, strict=True)
    ]
    batch = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    return (kernel, stride, padding), (*batch, *shape)


@every_backend
@every_dtype
@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
@examples(50)
@given(case=poolings(), contiguous=st.booleans())
def test_pooling(pool, dtype, backend, case, contiguous):
    arguments, x_shape = case
    compare(lambda: pool(*arguments), x_shape, backend, dtype, contiguous=contiguous)


@every_backend
@every_dtype
@examples(20)
@given(
    scale=st.integers(1, 3) | st.tuples(st.integers(1, 3), st.integers(1, 3)),
    x_shape=st.tuples(*[st.integers(1, 4)] * 4),
)
def test_upsample2d(dtype, backend, scale, x_shape):
    compare(lambda: Upsample2d(scale), x_shape, backend, dtype)


@every_backend
@every_dtype
@examples(40)
@given(
    N=st.integers(4, 33),
    C=st.integers(1, 4) | st.sampled_from((31, 33)),
    extents=st.lists(st.integers(1, 5), max_size=2),
    eps=st.sampled_from((1e-5, 1e-3)),
    momentum=st.sampled_from((0.1, 0.9)),
)
def test_batch_norm(dtype, backend, N, C, extents, eps, momentum):
    kind = BatchNorm2d if len(extents) == 2 else BatchNorm1d
    compare(lambda: kind(C, eps, momentum), (N, C, *extents), backend, dtype)


# ------------------------------------------------------------------ batch normalization, dropout
@every_backend
@pytest.mark.parametrize(
    ("kind", "judge", "x_shape"),
    [
        (BatchNorm1d, torch.nn.BatchNorm1d, (8, 3)),
        (BatchNorm1d, torch.nn.BatchNorm1d, (8, 3, 5)),
        (BatchNorm2d, torch.nn.BatchNorm2d, (8, 3, 4, 5)),
    ],
)
def test_running_statistics_over_several_batches(kind, judge, x_shape, backend):
    layer, wanted = kind(3, momentum=0.3), judge(3, momentum=0.3, dtype=torch.float64)
    parameters = Parameters({"layer": layer}, bind(layer, backend, "float64").ops, "float64")
    ops, rng = parameters.ops, np.random.default_rng(0)
    cache = layer.new_cache(x_shape, new_batch(parameters, x_shape[0]))
    for shift in range(5):
        x = rng.normal(shift, 1 + shift, x_shape)
        layer.forward(on_device(ops, x, "float64"), cache)
        wanted(torch.from_numpy(x))
        for name in ("running_mean", "running_var"):
            found = ops.to_numpy(getattr(layer, name))
            np.testing.assert_allclose(found, getattr(wanted, name), rtol=1e-12)
    before = ops.to_numpy(layer.running_mean), ops.to_numpy(layer.running_var)
    wanted.eval()
    samples = (2, *x_shape[1:])  # fewer than in training
    x = rng.normal(size=samples)
    cache = layer.new_cache(samples, new_batch(parameters, 2, training=False))
    y = ops.to_numpy(layer.forward(on_device(ops, x, "float64"), cache))
    np.testing.assert_allclose(y, wanted(torch.from_numpy(x)).detach(), rtol=1e-10, atol=1e-12)
    after = ops.to_numpy(layer.running_mean), ops.to_numpy(layer.running_var)
    np.testing.assert_array_equal(after, before)


def dropped(backend, *, p=0.3, number=0, step=0, rows=(0, 1, 2), seed=5, columns=1000):
    """The mask of one forward pass of a Dropout layer in training."""
    layer = Dropout(p, number)
    parameters = Parameters({"layer": layer}, bind(layer, backend, "float32").ops, "float32")
    ops = parameters.ops
    batch = Batch(seed, ops.asarray([step], np.int64), ops.asarray(rows, np.int64))
    cache = layer.new_cache((len(rows), columns), batch)
    y = layer.forward(on_device(ops, np.ones((len(rows), columns)), "float32"), cache)
    mask = ops.to_numpy(cache.mask)
    np.testing.assert_allclose(ops.to_numpy(y), mask / (1 - p), rtol=1e-6)
    return mask


@every_backend
def test_dropout_mask(backend):
    mask = dropped(backend)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert abs(mask.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / mask.size)
    np.testing.assert_array_equal(mask, dropped("numpy"))
    np.testing.assert_array_equal(mask[[2, 0]], dropped(backend, rows=(2, 0)))
    np.testing.assert_array_equal(dropped(backend, p=0.0), np.ones_like(mask))
    for other in ({"number": 1}, {"step": 1}, {"seed": 6}, {"rows": (3, 4, 5)}):
        assert (mask != dropped(backend, **other)).mean() > 0.3, other


@every_backend
def test_dropout_outside_training_is_the_identity(backend):
    layer = Dropout(0.5)
    parameters = bind(layer, backend, "float64")
    ops, rng = parameters.ops, np.random.default_rng(0)
    cache = layer.new_cache((4, 5), new_batch(parameters, 4, training=False))
    x, dy = rng.normal(size=(2, 4, 5))
    y = layer.forward(on_device(ops, x, "float64"), cache)
    np.testing.assert_array_equal(ops.to_numpy(y), x)
    upstream = on_device(ops, dy, "float64")
    dx = layer.backward(upstream, cache)
    np.testing.assert_array_equal(ops.to_numpy(dx), dy)
    assert not shares_memory(dx, upstream)


# ------------------------------------------------------------------ what is refused, and how
REFUSED = [
    (lambda: Dense(3, 2, activation="swish"), r"'swish'; choose one of identity, relu"),
    (lambda: Activation("gelu"), r"'gelu'; choose one of"),
    (lambda: Activation("elu", -1.0), r"slope of elu .* found -1.0"),
    (lambda: Conv2d(4, 6, 3, groups=3), r"groups=3 for 4 and 6"),
    (lambda: Conv2d(4, 6, 3, groups=0), r"groups=0"),
    (lambda: Conv2d(4, 6, (3, 0)), r"kernel_size must be >= 1, found \(3, 0\)"),
    (lambda: Conv1d(4, 6, 3, stride=0), r"stride must be >= 1, found"),
    (lambda: ConvTranspose2d(4, 6, 3, padding=-1), r"padding must be >= 0, found"),
    (lambda: Conv2d(4, 6, 3, dilation=0), r"dilation must be >= 1, found"),
    (lambda: ConvTranspose2d(4, 6, 3, stride=2, output_padding=2), r"found 2 with stride 2"),
    (lambda: ConvTranspose1d(4, 6, 3, output_padding=1), r"found 1 with stride 1"),
    (lambda: ConditionalConv2d(1, 2, 3, padding=1), r"found padding=1, groups=1"),
    (lambda: ConditionalConv2d(2, 2, 3, groups=2), r"found padding=0, groups=2"),
    (lambda: MaxPool2d(3, padding=2), r"kernel 3, stride 3, padding 2"),
    (lambda: AvgPool2d(2, stride=0), r"kernel 2, stride 0, padding 0"),
    (lambda: Upsample2d(0), r"scale must be >= 1, found 0"),
    (lambda: Dropout(1.0), r"p must be in \[0, 1\), found 1.0"),
]
MISFITS = [
    (Dense(3, 2), (4, 5), r"\(N, 3\), found \(4, 5\)"),
    (Dense(3, 2), (4, 3, 1), r"\(N, 3\), found \(4, 3, 1\)"),
    (Conv2d(3, 2, 3), (4, 2, 8, 8), r"\(N, 3, H, W\), found \(4, 2, 8, 8\)"),
    (Conv2d(3, 2, 5), (4, 3, 8, 4), r"input of 8x4 .* kernel \(5, 5\)"),
    (Conv1d(3, 2, 3), (4, 2, 8), r"Conv1d.*\(N, 3, W\), found \(4, 2, 8\)"),
    (Conv1d(3, 2, 3), (4, 3, 1, 8), r"\(N, 3, W\), found \(4, 3, 1, 8\)"),
    (ConvTranspose2d(3, 2, 1, padding=1), (4, 3, 2, 2), r"output of 0x0"),
    (BatchNorm1d(3), (4, 3, 2, 2), r"\(N, C\) or \(N, C, W\) with C = 3, found \(4, 3, 2, 2\)"),
    (BatchNorm2d(3), (4, 2, 2, 2), r"\(N, C, H, W\) with C = 3, found \(4, 2, 2, 2\)"),
    (MaxPool2d(3), (4, 2, 2, 5), r"kernel \(3, 3\) is larger than the input \(2, 5\)"),
    (AvgPool2d(3), (4, 9), r"\(N, C, H, W\), found \(4, 9\)"),
    (Upsample2d(2), (4, 9), r"\(N, C, H, W\), found \(4, 9\)"),
    (Reshape((2, 3)), (4, 5), r"Reshape\(2, 3\) holds 6 numbers .* has 5"),
    (Sequential(Dense(3, 2), Dense(3, 2)), (4, 3), r"\(N, 3\), found \(4, 2\)"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refused_when_made(make, message):
    with pytest.raises(MinaeError, match=message):
        make()


@pytest.mark.parametrize(("layer", "x_shape", "message"), MISFITS)
def test_refused_input(layer, x_shape, message):
    with pytest.raises(MinaeError, match=message):
        layer.output_shape(x_shape)


@every_example
def test_refused_when_run(name):
    """Arrays whose shape or dtype is not that of the cache."""
    make, x_shape = EXAMPLES[name]
    layer = make()
    parameters = bind(layer, "numpy", "float64")
    cache = layer.new_cache(x_shape, new_batch(parameters, x_shape[0], classes_of(layer)))
    more = (x_shape[0] + 1, *x_shape[1:])
    with pytest.raises(MinaeError, match=r"x has shape .* but the cache was made for"):
        layer.forward(np.zeros(more), cache)
    with pytest.raises(MinaeError, match=r"x has dtype float32, .* float64"):
        layer.forward(np.zeros(x_shape, np.float32), cache)
    layer.forward(np.random.default_rng(0).normal(size=x_shape), cache)
    with pytest.raises(MinaeError, match=r"dy has shape .* but the cache was made for"):
        layer.backward(np.zeros((*cache.y_shape, 1)), cache)
    with pytest.raises(MinaeError, match=r"dy has dtype float32, .* float64"):
        layer.backward(np.zeros(cache.y_shape, np.float32), cache)


def test_labels_are_asked_for():
    for layer, x_shape in (
        (ConditionalDense(2, 3, classes=4), (5, 2)),
        (ConditionalConv2d(1, 3, 2, classes=4), (5, 1, 4, 4)),
    ):
        parameters = bind(layer, "numpy", "float64")
        with pytest.raises(MinaeError, match=r"one-hot labels of shape \(5, 4\), found None"):
            layer.new_cache(x_shape)
        with pytest.raises(MinaeError, match=r"\(5, 4\), found \(5, 3\)"):
            layer.new_cache(x_shape, new_batch(parameters, 5, classes=3))


def test_batch_norm_refuses_one_value_a_channel_and_backward_of_inference():
    layer = BatchNorm1d(3)
    parameters = bind(layer, "numpy", "float64")
    with pytest.raises(MinaeError, match=r"more than one value a channel, found .*\(1, 3\)"):
        layer.new_cache((1, 3))
    cache = layer.new_cache((1, 3), new_batch(parameters, 1, training=False))
    layer.forward(np.zeros((1, 3)), cache)
    with pytest.raises(MinaeError, match="backward needs a forward in training mode"):
        layer.backward(np.zeros((1, 3)), cache)


def test_one_layer_object_in_two_places_is_refused():
    shared = Dense(3, 3)
    with pytest.raises(MinaeError, match=r"net\.0 and net\.2 are one layer object"):
        Parameters({"net": Sequential(shared, Flatten(), shared)}, np, "float64")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Dropout(0.5), Dropout(0.2)),
        (MaskingNoise(0.5, number=3), GaussianNoise(0.2, number=3)),
    ],
)
def test_layers_that_would_draw_the_same_numbers_are_refused(first, second):
    """Two dropouts of one number drop the same units of two layers, not independent ones."""
    ops = get_backend("numpy")
    network = Sequential(first, Dense(3, 3), Sequential(second))
    with pytest.raises(MinaeError, match=r"net\.0 and net\.2\.0 would draw the same random"):
        Parameters({"net": network}, ops, "float64")
    second.number = 4
    Parameters({"net": network}, ops, "float64")
    Parameters({"net": Sequential(Dropout(0.5), MaskingNoise(0.5))}, ops, "float64")


# ------------------------------------------------------------------ parameters
@every_example
def test_parameters_are_aligned_views_of_one_vector(name):
    layer = EXAMPLES[name][0]()
    parameters = bind(layer, "numpy", "float32")
    inside = np.zeros(parameters.values.shape, bool)
    for path, view in parameters.views.items():
        start = (view.ctypes.data - parameters.values.ctypes.data) // view.itemsize
        assert start % 16 == 0, path
        assert not inside[start : start + view.size].any(), path
        inside[start : start + view.size] = True
        gradient = parameters.gradient_views[path]
        offset = gradient.ctypes.data - parameters.gradients.ctypes.data
        assert (offset // gradient.itemsize, gradient.shape) == (start, view.shape), path
    assert parameters.count == inside.sum()
    assert not parameters.values[~inside].any()
    for part in walk(layer):
        for own in part.parameters():
            assert np.shares_memory(getattr(part, own), parameters.values)
            assert np.shares_memory(getattr(part, f"d{own}"), parameters.gradients)


def test_parameters_refuse_other_dtypes_paths_and_shapes():
    with pytest.raises(MinaeError, match="float32 or float64, found dtype int64"):
        bind(Dense(2, 3), "numpy", "int64")
    parameters = bind(Dense(2, 3), "numpy", "float64")
    with pytest.raises(MinaeError, match=r"no array 'layer.v'; choose one of layer.w, layer.b"):
        parameters.assign("layer.v", np.zeros(3))
    with pytest.raises(MinaeError, match=r"layer.w has shape \(3, 2\), found \(2, 3\)"):
        parameters.assign("layer.w", np.zeros((2, 3)))


def test_options_of_a_layer_are_its_fields():
    """What `describe` saves is enough to make the layer again."""
    for make, _ in EXAMPLES.values():
        layer = make()
        if not isinstance(layer, Sequential):
            arguments = {f.name: getattr(layer, f.name) for f in fields(layer) if f.init}
            assert repr(type(layer)(**arguments)) == repr(layer)


def test_layers_are_public():
    assert set(layers.__all__) == public_layers() | {"Batch", "Cache", "Layer", "Parameter"}
