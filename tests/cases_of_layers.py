"""The case table: arrays, and the operations that layers are made of; see comparison.py."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from comparison import (
    SIZES,
    Call,
    Draw,
    case,
    gradients,
    in_double,
    ref,
)

from minae.backends.spec import ACTIVATIONS, Array
from reference.pooling import output_size


# ------------------------------------------------------------ arrays.py
@case
def copy(d: Draw) -> Call:
    x = d.normal(d.pick((d.matrix, d.image))())
    return Call((x,), {"out": d.out(x.shape)}, lambda x: x, lambda x: x.clone(), terms=None)


@case
def add(d: Draw) -> Call:
    shape = d.pick((d.matrix, d.image))()
    return Call(
        (d.normal(shape), d.normal(shape)),
        {"out": d.out(shape)},
        lambda a, b: a + b,
        torch.add,
        in_place=(("out", "a"), ("out", "b")),
    )


# ------------------------------------------------------------ dense.py
@case
def matmul(d: Draw) -> Call:
    transpose_a, transpose_b = d.each([(i, j) for i in (False, True) for j in (False, True)])
    (M, Q), R = d.matrix(), d.matrix()[0]
    a = d.normal((Q, M) if transpose_a else (M, Q))
    b = d.normal((R, Q) if transpose_b else (Q, R))
    options = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    return Call(
        (a, b),
        {"out": d.out((M, R))},
        lambda a, b: ref.matmul(a, b, **options),
        lambda a, b: torch.matmul(a.T if transpose_a else a, b.T if transpose_b else b),
        terms=Q,
        options=options,
    )


# ------------------------------------------------------------ activations.py
SLOPES = (0.0, 0.01, 0.3, 1.0, 1.7)
TORCH_ACTIVATIONS: dict[str, Callable[[Any, float], Any]] = {
    "identity": lambda a, slope: a,
    "relu": lambda a, slope: F.relu(a),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "sigmoid": lambda a, slope: torch.sigmoid(a),
    "tanh": lambda a, slope: torch.tanh(a),
    "softplus": lambda a, slope: torch.logaddexp(a, torch.zeros_like(a)),
}
DERIVATIVE_SIZES: dict[str, Callable[[Array, float], Array]] = {  # the terms of f' in terms of y
    "identity": lambda y, slope: np.ones_like(y),
    "relu": lambda y, slope: 1.0 * (y > 0),
    "leaky_relu": lambda y, slope: np.where(y > 0, 1, slope),
    "elu": lambda y, slope: np.where(y > 0, 1, np.abs(y) + slope),
    "sigmoid": lambda y, slope: y + y * y,
    "tanh": lambda y, slope: 1 + y * y,
    "softplus": lambda y, slope: 1 + np.exp(-y),
}


def over_pixels(b: Any, ndim: int) -> Any:
    """A bias (K,) or (N, K) that broadcasts against x: (K, 1, 1) or (N, K, 1, 1) for images."""
    return 0 if b is None else b.reshape(tuple(b.shape) + (1,) * (ndim - 2))


def draw_activation(d: Draw) -> tuple[Array, Array | None, str, float]:
    """x, b, activation, slope, with x + b away from the kink of relu and its kin."""
    shape = d.pick((d.matrix, d.image))()
    N, K = shape[:2]
    b = d.pick((None, (K,), (N, K)))
    b = b if b is None else d.normal(b)
    x = d.array((d.away_from_zero(shape) - over_pixels(b, len(shape))).astype(d.dtype))
    return x, b, d.each(ACTIVATIONS), d.pick(SLOPES)


@case
def bias_activation_forward(d: Draw) -> Call:
    return bias_activation_forward_call(d, *draw_activation(d))


def bias_activation_forward_call(
    d: Draw, x: Array, b: Array | None, activation: str, slope: float
) -> Call:
    def size(x: Array, b: Array | None, *_: Any) -> Array:
        a = x + over_pixels(b, x.ndim)
        y = ref.bias_activation_forward(x, b, activation, slope)
        derivative, _ = ref.bias_activation_backward(np.ones_like(y), y, activation, slope)
        return np.abs(y) + np.abs(a * derivative)  # f, and what an error of a does to it

    return Call(
        (x, b, activation, slope),
        {"out": d.out(x.shape)},
        ref.bias_activation_forward,
        lambda x, b, *_: TORCH_ACTIVATIONS[activation](x + over_pixels(b, x.ndim), slope),
        size,
        in_place=(("out", "x"),),
    )


@case
def bias_activation_backward(d: Draw) -> Call:
    return bias_activation_backward_call(d, *draw_activation(d))


def bias_activation_backward_call(
    d: Draw, x: Array, b: Array | None, activation: str, slope: float
) -> Call:
    y = ref.bias_activation_forward(in_double(x), in_double(b), activation, slope)
    per_sample = b is not None and b.ndim == 2
    b = np.zeros(x.shape[1], d.dtype) if b is None else b
    dy, y = d.normal(x.shape), d.array(y.astype(d.dtype))

    def reference(dy: Array, y: Array, *_: Any) -> tuple[Array, Array]:
        return ref.bias_activation_backward(dy, y, activation, slope, per_sample)

    def f(x: Any, b: Any) -> Any:
        return TORCH_ACTIVATIONS[activation](x + over_pixels(b, x.ndim), slope)

    def size(dy: Array, y: Array, *_: Any) -> tuple[Array, Array]:
        dx = np.abs(dy) * DERIVATIVE_SIZES[activation](y, slope)
        db = dx.sum(axis=tuple(range(2, dx.ndim)))  # (N, K)
        return dx, db if per_sample else db.sum(axis=0)

    return Call(
        (dy, y, activation, slope),
        {"dx": d.out(x.shape), "db": d.out(b.shape)},
        reference,
        lambda dy, *_: gradients(f, dy, x, b),
        size,
        terms=x.size // b.size,
        in_place=(("dx", "dy"),),
        optional=("db",),
    )


def draw_output(d: Draw, shape: tuple[int, int]) -> tuple[Array, str, float]:
    """x, y = f(x), activation and slope; x is away from the kink of relu and its kin, and the slope
    not 0, so that a judge can divide by elu's f'."""
    activation, slope = d.each(ACTIVATIONS), d.pick(SLOPES[1:])
    x = in_double(d.away_from_zero(shape))
    return x, ref.bias_activation_forward(x, None, activation, slope), activation, slope


def torch_second(u: Any, x: Any, activation: str, slope: float) -> Any:
    """(f'(x), u f'(x)) in PyTorch, differentiable once more."""
    x = torch.tensor(x, requires_grad=True)
    y = TORCH_ACTIVATIONS[activation](x, slope)
    (derivative,) = torch.autograd.grad(y.sum() + 0 * x.square().sum(), x, create_graph=True)
    return x, derivative, u * derivative


@case
def bias_activation_double_backward(d: Draw) -> Call:
    shape = d.matrix()
    x, y, activation, slope = draw_output(d, shape)
    accumulate = d.pick((False, True))
    dy = d.out(shape)
    if accumulate:
        dy[...] = d.rng.normal(size=shape)
    before = in_double(dy) if accumulate else 0.0

    def judge(dv: Any, u: Any, *_: Any) -> Any:
        """By x it is dy f', so it is divided by f', where that is not 0."""
        leaf, derivative, v = torch_second(u.detach().double(), x, activation, slope)
        (by_x,) = torch.autograd.grad(v, leaf, dv.detach().double())
        by_y = torch.where(derivative == 0, 0.0, by_x / derivative)
        return before + by_y.detach().numpy()

    def size(dv: Array, u: Array, y: Array, *_: Any) -> Array:
        terms = {"sigmoid": 1 + 2 * y, "tanh": 2 * np.abs(y), "elu": 1.0, "softplus": 1 + np.abs(y)}
        return np.abs(before) + np.abs(dv * u) * terms.get(activation, 0.0)

    return Call(
        (d.normal(shape), d.normal(shape), d.array(y.astype(d.dtype)), activation, slope),
        {"dy": dy},
        lambda *arguments: before + ref.bias_activation_double_backward(*arguments),
        judge,
        size,
        options={"accumulate": accumulate},
    )


# ------------------------------------------------------------ contractive.py
@case
def contractive_penalty(d: Draw) -> Call:
    (N, K), D = d.matrix(), d.matrix()[1]
    x, y, activation, slope = draw_output(d, (N, K))
    w, scale = d.normal((K, D)), d.scale()

    def judge(y: Any, w: Any, *_: Any) -> Any:
        """Double backward, (f')² as the square of a gradient; by y as above."""
        ones = torch.ones(N, K, dtype=torch.float64)
        leaf, derivative, _ = torch_second(ones, x, activation, slope)
        weights = w.detach().double().requires_grad_()
        jacobian_square = derivative.square() @ weights.square().sum(dim=1)
        value = scale * jacobian_square.sum()
        by_x, dw = torch.autograd.grad(value, (leaf, weights))
        return value, torch.where(derivative == 0, 0.0, by_x / derivative), dw

    def size(y: Array, w: Array, *_: Any) -> Any:
        derivative = DERIVATIVE_SIZES[activation](np.abs(y), slope)
        second = {"sigmoid": 1 + 2 * y, "tanh": 2 * np.abs(y), "elu": 1.0, "softplus": 1 + y}
        norms = np.sum(w * w, axis=1)
        squares = np.sum(derivative**2, axis=0)
        return (
            2 * scale * np.sum(squares * norms),
            4 * scale * derivative * second.get(activation, 0.0) * norms,
            4 * scale * np.abs(w) * squares[:, None],
        )

    return Call(
        (d.array(y.astype(d.dtype)), w, activation, slope, scale),
        {"value": d.value(), "dy": d.out((N, K)), "dw": d.out((K, D))},
        ref.contractive_penalty,
        judge,
        size,
        terms=N * K + D,
        optional=("dy", "dw"),
    )


# ------------------------------------------------------------ conv2d.py
@dataclass(frozen=True)
class Convolution:
    """Shapes of a convolution, and (stride, padding, dilation, groups)."""

    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    y: tuple[int, int, int, int]
    geometry: tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]


def draw_convolution(d: Draw) -> Convolution:
    """Any geometry, among them images with rows that no window reaches and those all padding."""
    stride, dilation, padding = d.pair((1, 2, 3)), d.pair((1, 2, 3)), d.pair((0, 1, 2, 3))
    kernel, groups = d.pair((1, 2, 3, 4)), d.pick((1, 1, 2, 3))
    sizes = [d.pick((1, 2, 3)) for _ in range(5)]
    sizes[d.pick(range(5))] = d.pick((1, 17, 33))
    sizes[d.pick(range(5))] = d.pick(SIZES)
    if d.large:
        kernel, sizes = (3, 4), [40, 2, 2, 24, 24]
    N, C, K, OH, OW = sizes
    C, K = groups * C, groups * K
    H, W = (
        max(1, (o - 1) * s + dl * (k - 1) + 1 - 2 * p + d.pick(range(s)))
        for o, s, dl, k, p in zip((OH, OW), stride, dilation, kernel, padding, strict=True)
    )
    OH, OW = (
        (h + 2 * p - dl * (k - 1) - 1) // s + 1
        for h, s, dl, k, p in zip((H, W), stride, dilation, kernel, padding, strict=True)
    )
    shapes = (N, C, H, W), (K, C // groups, *kernel), (N, K, OH, OW)
    return Convolution(*shapes, (stride, padding, dilation, groups))


def torch_convolution(x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return F.conv2d(x, w, None, stride, padding, dilation, groups)


@case
def conv2d_forward(d: Draw) -> Call:
    c = draw_convolution(d)
    return Call(
        (d.normal(c.x), d.normal(c.w), *c.geometry),
        {"out": d.out(c.y)},
        ref.conv2d_forward,
        torch_convolution,
        terms=math.prod(c.w[1:]),
    )


@case
def conv2d_input_gradient(d: Draw) -> Call:
    c = draw_convolution(d)
    x = d.normal(c.x)
    return Call(
        (d.normal(c.y), d.normal(c.w), *c.geometry),
        {"out": d.out(c.x)},
        lambda *a: ref.conv2d_input_gradient(*a, c.x[2:]),
        lambda dy, w, *g: gradients(lambda x: torch_convolution(x, w, *g), dy, x),
        terms=c.w[0] // c.geometry[3] * math.prod(c.w[2:]),
    )


@case
def conv2d_weight_gradient(d: Draw) -> Call:
    c = draw_convolution(d)
    w = d.normal(c.w)
    return Call(
        (d.normal(c.x), d.normal(c.y), *c.geometry),
        {"out": d.out(c.w)},
        lambda *a: ref.conv2d_weight_gradient(*a, c.w[2:]),
        lambda x, dy, *g: gradients(lambda w: torch_convolution(x, w, *g), dy, w),
        terms=c.y[0] * math.prod(c.y[2:]),
    )


# ------------------------------------------------------------ class_bias.py
@case
def class_bias_forward(d: Draw) -> Call:
    K, classes, KH, KW = d.image()
    w = d.normal((K, classes, KH, KW))

    def judge(w: Any) -> Any:  # a plane of ones in one channel at a time, and no other
        planes = torch.eye(classes, dtype=w.dtype).reshape(classes, classes, 1, 1)
        planes = planes.expand(classes, classes, KH, KW)
        return F.conv2d(planes, w)[:, :, 0, 0].T

    outputs = {"out": d.out((K, classes))}
    return Call((w,), outputs, ref.class_bias_forward, judge, terms=KH * KW)


@case
def class_bias_backward(d: Draw) -> Call:
    K, classes, KH, KW = d.image()
    w = d.normal((K, classes, KH, KW))
    return Call(
        (d.normal((K, classes)),),
        {"out": d.out(w.shape)},
        lambda dtable: ref.class_bias_backward(dtable, (KH, KW)),
        lambda dtable: gradients(lambda w: w.sum(dim=(2, 3)), dtable, w),
        terms=None,
    )


# ------------------------------------------------------------ pooling.py
@dataclass(frozen=True)
class Pooling:
    """Shapes of a pooling, and (kernel, stride, padding)."""

    x: tuple[int, int, int, int]
    y: tuple[int, int, int, int]
    geometry: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    @property
    def windows(self) -> int:
        """How many windows may cover an element."""
        return math.prod(-(-k // s) for k, s in zip(*self.geometry[:2], strict=True))


def draw_pooling(d: Draw) -> Pooling:
    kernel, stride = d.pair((1, 2, 3, 4)), d.pair((1, 2, 3))
    padding = d.pick(range(kernel[0] // 2 + 1)), d.pick(range(kernel[1] // 2 + 1))
    N, C, H, W = d.image()
    H, W = max(H, kernel[0] - 2 * padding[0]), max(W, kernel[1] - 2 * padding[1])
    return Pooling(
        (N, C, H, W),
        (N, C, *output_size((H, W), kernel, stride, padding)),
        (kernel, stride, padding),
    )


def places(indices: Any, p: Pooling) -> Array:
    """PyTorch's winners, h·W + w in the image, as places a·KW + b in the window."""
    (_, KW), (SH, SW), (PH, PW) = p.geometry
    OH, OW = p.y[2:]
    h, w = np.divmod(indices.numpy(), p.x[3])  # (N, C, OH, OW)
    a = h - (np.arange(OH)[:, None] * SH - PH)
    b = w - (np.arange(OW) * SW - PW)
    return a * KW + b


def draw_max_pooling(d: Draw) -> tuple[Pooling, Array]:
    """A pooling and x with no two elements within 0.01 of each other."""
    p = draw_pooling(d)
    values = d.rng.permutation(math.prod(p.x)) / 100 - 1
    return p, d.array(values.reshape(p.x).astype(d.dtype))


@case
def max_pool2d_forward(d: Draw) -> Call:
    p, x = draw_max_pooling(d)
    if d.each(("distinct", "ties")) == "ties":
        x = d.array(d.rng.integers(-1, 1, p.x).astype(d.dtype))

    def judge(x: Any, *geometry: Any) -> Any:
        y, indices = F.max_pool2d(x, *geometry, return_indices=True)
        return y, places(indices, p)

    return Call(
        (x, *p.geometry),
        {"out": d.out(p.y), "argmax": d.out(p.y, np.int32)},
        ref.max_pool2d_forward,
        judge,
        terms=None,
    )


@case
def max_pool2d_backward(d: Draw) -> Call:
    p, x = draw_max_pooling(d)
    argmax = ref.max_pool2d_forward(x, *p.geometry)[1]

    return Call(
        (d.normal(p.y), d.array(argmax), *p.geometry),
        {"out": d.out(p.x)},
        lambda *a: ref.max_pool2d_backward(*a, p.x[2:]),
        lambda dy, argmax, *g: gradients(lambda x: F.max_pool2d(x, *g), dy, x),
        terms=p.windows,
    )


@case
def avg_pool2d_forward(d: Draw) -> Call:
    p = draw_pooling(d)
    return Call(
        (d.normal(p.x), *p.geometry),
        {"out": d.out(p.y)},
        ref.avg_pool2d_forward,
        F.avg_pool2d,
        terms=math.prod(p.geometry[0]),
    )


@case
def avg_pool2d_backward(d: Draw) -> Call:
    p = draw_pooling(d)
    x = d.normal(p.x)
    return Call(
        (d.normal(p.y), *p.geometry),
        {"out": d.out(p.x)},
        lambda *a: ref.avg_pool2d_backward(*a, p.x[2:]),
        lambda dy, *g: gradients(lambda x: F.avg_pool2d(x, *g), dy, x),
        terms=p.windows,
    )


def draw_upsampling(d: Draw) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, int]]:
    """(N, C, H, W), (N, C, H·SH, W·SW) and (SH, SW)."""
    (N, C, H, W), (SH, SW) = d.image(), d.pair((1, 2, 3))
    return (N, C, H, W), (N, C, H * SH, W * SW), (SH, SW)


def torch_upsample(x: Any, scale: Any) -> Any:
    return F.interpolate(x, scale_factor=scale, mode="nearest")


@case
def upsample2d_forward(d: Draw) -> Call:
    small, large, scale = draw_upsampling(d)
    return Call(
        (d.normal(small), scale),
        {"out": d.out(large)},
        ref.upsample2d_forward,
        torch_upsample,
        terms=None,
    )


@case
def upsample2d_backward(d: Draw) -> Call:
    small, large, scale = draw_upsampling(d)
    x = d.normal(small)
    return Call(
        (d.normal(large), scale),
        {"out": d.out(small)},
        ref.upsample2d_backward,
        lambda dy, scale: gradients(lambda x: torch_upsample(x, scale), dy, x),
        terms=math.prod(scale),
    )


# ------------------------------------------------------------ batch_norm.py
def draw_batch(d: Draw, least: int) -> tuple[Array, Array, Array]:
    """x with at least so many numbers a channel, each channel with its mean and spread; γ, β."""
    shape = d.pick((d.matrix, d.image))()
    shape = (max(shape[0], least), *shape[1:])
    C = shape[1]
    mean, spread = d.rng.normal(0, d.pick((1, 100)), C), d.rng.uniform(0.5, 2, C)
    x = over_pixels(mean, len(shape)) + over_pixels(spread, len(shape)) * d.rng.normal(size=shape)
    return d.array(x.astype(d.dtype)), d.normal((C,)), d.normal((C,))


def batch_sizes(x: Array, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """Magnitudes (C,) of the mean, (C,) of inv_std and (N, C, …) of x̂.

    x - mean is off by what |x| is rounded to, so x̂ is off by as much times inv_std, and inv_std,
    which is made of x - mean, by as much again.
    """
    axes = (0, *range(2, x.ndim))
    of_mean = np.abs(x).mean(axis=axes)
    factor = 1 + of_mean * inv_std
    x_hat = (x - over_pixels(mean, x.ndim)) * over_pixels(inv_std, x.ndim)
    of_x_hat = over_pixels(of_mean * inv_std, x.ndim) + np.abs(x_hat) * over_pixels(factor, x.ndim)
    return of_mean, inv_std * factor, of_x_hat


@case
def batch_norm_forward(d: Draw) -> Call:
    x, gamma, beta = draw_batch(d, 2)
    C, M = x.shape[1], x.size // x.shape[1]
    momentum, eps = d.pick((0.1, 0.01, 1.0)), d.pick((1e-5, 1e-3))
    running = d.state(d.rng.normal(size=C)), d.state(d.rng.uniform(0.5, 2, C))

    def judge(x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, *_: Any) -> Any:
        rm, rv = running_mean.detach().clone(), running_var.detach().clone()
        y = F.batch_norm(x, rm, rv, gamma, beta, True, momentum, eps)
        axes = (0, *range(2, x.ndim))
        mean = x.mean(dim=axes)
        return y, mean, (x.var(dim=axes, unbiased=False) + eps).rsqrt(), rm, rv

    def size(x: Array, gamma: Array, beta: Array, rm: Array, rv: Array, *_: Any) -> Any:
        _, mean, inv_std, *_ = ref.batch_norm_forward(x, gamma, beta, rm, rv, momentum, eps)
        of_mean, of_inv_std, of_x_hat = batch_sizes(x, mean, inv_std)
        out = over_pixels(np.abs(gamma), x.ndim) * of_x_hat + over_pixels(np.abs(beta), x.ndim)
        var = (inv_std**-2) * (of_inv_std / inv_std) * M / (M - 1)
        of_running = momentum * of_mean + np.abs(rm), momentum * var + rv
        return out, of_mean, of_inv_std, *of_running

    return Call(
        (x, gamma, beta, *running, momentum, eps),
        {"out": d.out(x.shape), "mean": d.out((C,)), "inv_std": d.out((C,))},
        ref.batch_norm_forward,
        judge,
        size,
        terms=M,
        updated=("running_mean", "running_var"),
    )


@case
def batch_norm_inference(d: Draw) -> Call:
    x, gamma, beta = draw_batch(d, 1)
    C, eps = x.shape[1], d.pick((1e-5, 1e-3))

    def size(x: Array, gamma: Array, beta: Array, rm: Array, rv: Array, *_: Any) -> Any:
        at_magnitudes = np.abs(x), np.abs(gamma), np.abs(beta), -np.abs(rm), rv
        return ref.batch_norm_inference(*at_magnitudes, eps)

    return Call(
        (x, gamma, beta, d.normal((C,)), d.uniform(0.5, 2, (C,)), eps),
        {"out": d.out(x.shape)},
        ref.batch_norm_inference,
        lambda x, gamma, beta, rm, rv, eps: F.batch_norm(
            x, rm.detach(), rv.detach(), gamma, beta, False, 0.0, eps
        ),
        size,
    )


@case
def batch_norm_backward(d: Draw) -> Call:
    x, gamma, beta = draw_batch(d, 3)  # of two numbers x̂ is ±1, whatever they are, and dx almost 0
    C, M, eps = x.shape[1], x.size // x.shape[1], d.pick((1e-5, 1e-3))
    _, mean, inv_std, *_ = ref.batch_norm_forward(
        in_double(x), gamma, beta, np.zeros(C), np.ones(C), 0.1, eps
    )
    mean, inv_std = d.array(mean.astype(d.dtype)), d.array(inv_std.astype(d.dtype))

    def normalize(x: Any, gamma: Any, beta: Any) -> Any:
        return F.batch_norm(x, None, None, gamma, beta, True, 0.1, eps)

    def size(dy: Array, x: Array, gamma: Array, mean: Array, inv_std: Array) -> Any:
        axes = (0, *range(2, x.ndim))
        _, of_inv_std, of_x_hat = batch_sizes(x, mean, inv_std)
        dbeta = np.abs(dy).sum(axis=axes)
        dgamma = (np.abs(dy) * of_x_hat).sum(axis=axes)
        dx = (
            np.abs(dy) + over_pixels(dbeta, x.ndim) / M + of_x_hat * over_pixels(dgamma, x.ndim) / M
        )
        return over_pixels(np.abs(gamma) * of_inv_std, x.ndim) * dx, dgamma, dbeta

    return Call(
        (d.normal(x.shape), x, gamma, mean, inv_std),
        {"dx": d.out(x.shape), "dgamma": d.out((C,)), "dbeta": d.out((C,))},
        ref.batch_norm_backward,
        lambda dy, x, gamma, *_: gradients(normalize, dy, x, gamma, beta),
        size,
        terms=M,
    )


# ------------------------------------------------------------ dropout.py
def draw_dropout(d: Draw) -> tuple[Array, Array, float]:
    """x or dy, mask, keep."""
    shape, keep = d.pick((d.matrix, d.image))(), d.pick((0.1, 0.5, 0.9, 1.0))
    return d.normal(shape), d.array((d.rng.random(shape) < keep).astype(d.dtype)), keep


@case
def dropout_forward(d: Draw) -> Call:
    x, mask, keep = draw_dropout(d)
    return Call(
        (x, mask, keep),
        {"out": d.out(x.shape)},
        ref.dropout_forward,
        lambda x, mask, keep: x * mask / keep,
        in_place=(("out", "x"),),
    )


@case
def dropout_backward(d: Draw) -> Call:
    dy, mask, keep = draw_dropout(d)
    x = d.normal(dy.shape)
    return Call(
        (dy, mask, keep),
        {"out": d.out(x.shape)},
        ref.dropout_backward,
        lambda dy, mask, keep: gradients(lambda x: x * mask / keep, dy, x),
        in_place=(("out", "dy"),),
    )
