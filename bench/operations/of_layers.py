"""The operations that layers call. Pooling, batch normalization and dropout, which none of the
models has, are given what a convolutional layer of theirs gives."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from bench.operations.case import Case, Draw, N, as_tuple, empty, in_words
from minae.backends import get_backend
from minae.backends.spec import ACTIVATIONS
from minae.layers.layer import Strips

aten = torch.ops.aten
CLASSES = 10
SLOPE, KEEP, EPS, MOMENTUM = 0.01, 0.7, 1e-5, 0.1


def arrays(draw: Draw) -> Iterator[Case]:
    (a, ta), (b, tb) = draw(N, 784), draw(N, 784)
    out, target = empty(N, 784), torch.empty(N, 784)
    yield Case("copy", "256×784", {"x": a, "out": out}, lambda: (target.copy_(ta),), ("out",))
    add = {"a": a, "b": b, "out": empty(N, 784)}
    yield Case("add", "256×784", add, lambda: (torch.add(ta, tb, out=target),), ("out",))


def dense(draw: Draw) -> Iterator[Case]:
    for K in (32, 400):
        (x, tx), (w, tw), (dy, tdy) = draw(N, 784), draw(K, 784), draw(N, K)
        for name, a, b, options, shape, rival in (
            ("y", x, w, {"transpose_b": True}, (N, K), lambda x=tx, w=tw: x @ w.T),
            ("dw", dy, x, {"transpose_a": True}, (K, 784), lambda x=tx, dy=tdy: dy.T @ x),
            ("dx", dy, w, {}, (N, 784), lambda dy=tdy, w=tw: dy @ w),
        ):
            arguments = {"a": a, "b": b, "out": empty(*shape)} | options
            rival = as_tuple(rival)
            yield Case("matmul", f"{name}, 256×784 to {K}", arguments, rival, ("out",))


def sparse(draw: Draw) -> Iterator[Case]:
    """As many strips as MNIST has; PyTorch multiplies the dense batch."""
    M = 10_000
    u = draw.rng.integers(1, 256, (M, 784), np.uint8)
    u[np.repeat(draw.rng.random((M, 98)) > 0.39, 8, axis=1)] = 0
    rows, _ = draw.integers(M, N)
    x = u[rows].astype(np.float32) / 255
    tx = torch.from_numpy(x)
    given = {"strips": Strips.of(get_backend("numpy"), u).bits, "rows": rows, "x": x}
    for K in (32, 128, 400):
        (w, tw), (dy, tdy) = draw(K, 784), draw(N, K)
        yield Case(
            "sparse_matmul",
            f"256×784 to {K}",
            given | {"w": w, "out": empty(N, K)},
            as_tuple(lambda tw=tw: tx @ tw.T),
            ("out",),
        )
        yield Case(
            "sparse_weight_gradient",
            f"256×784 to {K}",
            given | {"dy": dy, "out": empty(K, 784)},
            as_tuple(lambda tdy=tdy: tdy.T @ tx),
            ("out",),
        )


FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda a: a,
    "relu": torch.relu,
    "leaky_relu": lambda a: F.leaky_relu(a, SLOPE),
    "elu": lambda a: F.elu(a, SLOPE),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
}
BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {  # of dy, y, x
    "identity": lambda dy, y, x: dy,
    "relu": lambda dy, y, x: aten.threshold_backward(dy, y, 0),
    "leaky_relu": lambda dy, y, x: aten.leaky_relu_backward(dy, x, SLOPE, False),
    "elu": lambda dy, y, x: aten.elu_backward(dy, SLOPE, 1, 1, True, y),
    "sigmoid": lambda dy, y, x: aten.sigmoid_backward(dy, y),
    "tanh": lambda dy, y, x: aten.tanh_backward(dy, y),
    "softplus": lambda dy, y, x: aten.softplus_backward(dy, x, 1, 20),
}


def activations(draw: Draw) -> Iterator[Case]:
    """In place, as the layers call them; PyTorch keeps what autograd needs."""
    shapes = [(name, (N, 784)) for name in ACTIVATIONS] + [("leaky_relu", (N, 16, 12, 12))]
    for name, shape in shapes:
        (x, tx), (b, tb), (dy, tdy) = draw(*shape), draw(shape[1]), draw(*shape)
        tb = tb.reshape(-1, *(1,) * (len(shape) - 2))
        y = FORWARD[name](tx + tb)
        dims = [d for d in range(len(shape)) if d != 1]
        sizes = f"{name}, {in_words(shape)}"
        shared = {"activation": name, "slope": SLOPE}
        forward = {"x": x, "b": b, "out": x} | shared
        yield Case(
            "bias_activation_forward",
            sizes,
            forward,
            as_tuple(lambda f=FORWARD[name], x=tx, b=tb: f(x + b)),
            ("out",),
        )

        def backward(
            f: Any = BACKWARD[name], dy: Tensor = tdy, y: Tensor = y, x: Tensor = tx + tb, d=dims
        ) -> tuple[Tensor, ...]:
            dx = f(dy, y, x)
            return dx, dx.sum(d)

        arguments = {"dy": dy, "y": y.numpy().copy(), "dx": empty(*shape), "db": empty(shape[1])}
        written = ("dx", "db")
        yield Case("bias_activation_backward", sizes, arguments | shared, backward, written)


def convolutions(draw: Draw) -> Iterator[Case]:
    """The layers of the conditional VAE and of the convolutional autoencoder."""
    for C, H, K, kernel, stride, padding in (
        (1, 28, 16, 6, 2, 0),
        (16, 12, 32, 4, 2, 0),
        (16, 11, 32, 4, 3, 1),
        (1, 28, 16, 6, 3, 4),
        (1, 28, 16, 3, 2, 1),
        (16, 14, 32, 3, 2, 1),
    ):
        (x, tx), (w, tw) = draw(N, C, H, H), draw(K, C, kernel, kernel)
        y = F.conv2d(tx, tw, None, stride, padding)
        dy, tdy = draw(*y.shape)
        sizes = f"{C}×{H}×{H}, {K} of {kernel}×{kernel} every {stride}"
        places = (stride, padding)
        geometry = {
            "stride": (stride, stride),
            "padding": (padding, padding),
            "dilation": (1, 1),
            "groups": 1,
        }
        for name, inputs, shape, rival in (
            (
                "conv2d_forward",
                {"x": x, "w": w},
                y.shape,
                lambda x=tx, w=tw, p=places: F.conv2d(x, w, None, *p),
            ),
            (
                "conv2d_input_gradient",
                {"dy": dy, "w": w},
                x.shape,
                lambda s=x.shape, w=tw, dy=tdy, p=places: conv2d_input(s, w, dy, *p),
            ),
            (
                "conv2d_weight_gradient",
                {"x": x, "dy": dy},
                w.shape,
                lambda x=tx, s=w.shape, dy=tdy, p=places: conv2d_weight(x, s, dy, *p),
            ),
        ):
            yield Case(
                name, sizes, inputs | geometry | {"out": empty(*shape)}, as_tuple(rival), ("out",)
            )


def class_bias(draw: Draw) -> Iterator[Case]:
    (w, tw), (dtable, tdtable) = draw(16, CLASSES, 6, 6), draw(16, CLASSES)
    forward = {"w": w, "out": empty(16, CLASSES)}
    yield Case("class_bias_forward", "16×10×6×6", forward, lambda: (tw.sum((2, 3)),), ("out",))
    yield Case(
        "class_bias_backward",
        "16×10×6×6",
        {"dtable": dtable, "out": empty(*w.shape)},
        lambda: (tdtable[:, :, None, None].expand(-1, -1, 6, 6).contiguous(),),
        ("out",),
    )


def pooling(draw: Draw) -> Iterator[Case]:
    (x, tx), (dy, tdy) = draw(N, 16, 28, 28), draw(N, 16, 14, 14)
    y, argmax = empty(*dy.shape), empty(*dy.shape, dtype=np.int32)
    two = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    places = ([2, 2], [2, 2], [0, 0])
    winners = aten.max_pool2d_with_indices(tx, *places)[1]
    get_backend("numpy").max_pool2d_forward(x, **two, out=y, argmax=argmax)
    calls: tuple[tuple[str, dict[str, Any], Callable[[], Tensor]], ...] = (
        (
            "max_pool2d_forward",
            {"x": x, "out": y, "argmax": empty(*dy.shape, dtype=np.int32)} | two,
            lambda: F.max_pool2d(tx, 2, return_indices=True)[0],
        ),
        (
            "max_pool2d_backward",
            {"dy": dy, "argmax": argmax, "out": empty(*x.shape)} | two,
            lambda: aten.max_pool2d_with_indices_backward(tdy, tx, *places, [1, 1], False, winners),
        ),
        (
            "avg_pool2d_forward",
            {"x": x, "out": empty(*dy.shape)} | two,
            lambda: F.avg_pool2d(tx, 2),
        ),
        (
            "avg_pool2d_backward",
            {"dy": dy, "out": empty(*x.shape)} | two,
            lambda: aten.avg_pool2d_backward(tdy, tx, *places, False, True, None),
        ),
        (
            "upsample2d_forward",
            {"x": dy, "scale": (2, 2), "out": empty(*x.shape)},
            lambda: F.interpolate(tdy, scale_factor=2, mode="nearest"),
        ),
        (
            "upsample2d_backward",
            {"dy": x, "scale": (2, 2), "out": empty(*dy.shape)},
            lambda: aten.upsample_nearest2d_backward(tx, [28, 28], [N, 16, 14, 14]),
        ),
    )
    for name, arguments, rival in calls:
        yield Case(name, "16×28×28, 2×2", arguments, as_tuple(rival), ("out",))


def batch_norm(draw: Draw) -> Iterator[Case]:
    shape, C, sizes = (N, 16, 14, 14), 16, "16×14×14"
    (x, tx), (dy, tdy) = draw(*shape), draw(*shape)
    (gamma, tg), (beta, tb), (mean, tm) = draw(C), draw(C), draw(C)
    var, tv = draw.uniform(C)
    affine = {"x": x, "gamma": gamma, "beta": beta}
    running = {"running_mean": mean, "running_var": var}
    saved = {"mean": empty(C), "inv_std": empty(C)}
    _, batch_mean, inv_std = torch.native_batch_norm(tx, tg, tb, None, None, True, MOMENTUM, EPS)
    frozen_mean, frozen_var = tm.clone(), tv.clone()
    yield Case(
        "batch_norm_inference",
        sizes,
        affine | {k: a.copy() for k, a in running.items()} | {"eps": EPS, "out": empty(*shape)},
        lambda: (F.batch_norm(tx, frozen_mean, frozen_var, tg, tb, False, 0.0, EPS),),
        ("out",),
    )
    yield Case(
        "batch_norm_forward",
        sizes,
        affine | running | saved | {"momentum": MOMENTUM, "eps": EPS, "out": empty(*shape)},
        lambda: torch.native_batch_norm(tx, tg, tb, tm, tv, True, MOMENTUM, EPS),
        ("out", "mean", "inv_std"),
    )
    statistics = {"mean": batch_mean.numpy(), "inv_std": inv_std.numpy()}
    gradients = {"dx": empty(*shape), "dgamma": empty(C), "dbeta": empty(C)}
    yield Case(
        "batch_norm_backward",
        sizes,
        {"dy": dy, "x": x, "gamma": gamma} | statistics | gradients,
        lambda: aten.native_batch_norm_backward(
            tdy, tx, tg, None, None, batch_mean, inv_std, True, EPS, [True] * 3
        ),
        ("dx", "dgamma", "dbeta"),
    )


def dropout(draw: Draw) -> Iterator[Case]:
    x, tx = draw(N, 784)
    kept = torch.rand(N, 784) < KEEP
    mask = kept.numpy().astype(np.float32)
    for name, argument in (("dropout_forward", "x"), ("dropout_backward", "dy")):
        arguments = {argument: x, "mask": mask, "keep": KEEP, "out": empty(N, 784)}
        rival = as_tuple(lambda: aten.native_dropout_backward(tx, kept, 1 / KEEP))
        yield Case(name, "256×784", arguments, rival, ("out",))


FAMILIES = (
    arrays,
    dense,
    sparse,
    activations,
    convolutions,
    class_bias,
    pooling,
    batch_norm,
    dropout,
)
