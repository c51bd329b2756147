"""Layers on every backend against PyTorch, with shapes and options drawn by Hypothesis."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minae.backends.spec import ACTIVATIONS
from minae.layers import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    ConditionalConv2d,
    ConditionalDense,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    MaxPool2d,
    Upsample2d,
)
from tests.comparison_of_layers import compare, every_backend, every_dtype

BLOCK_EDGES = (1, 31, 32, 33, 257)
fused = {
    "activation": st.sampled_from(ACTIVATIONS),
    "slope": st.sampled_from((0.0, 0.01, 0.3, 1.0, 1.5)),
    "bias": st.booleans(),
}
sizes = st.one_of(st.integers(1, 6), st.sampled_from(BLOCK_EDGES))


def examples(count):
    return settings(max_examples=count, derandomize=True, deadline=None)


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
