"""The case table: losses, sampling, optimizers, batches and random numbers; see comparison.py."""

from collections.abc import Callable
from itertools import pairwise
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
from torch.distributions import Normal, kl_divergence

from minae.backends.spec import Array
from reference.sparse import STRIP, strips_of


# ------------------------------------------------------------ losses.py
def torch_loss(loss: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """(value, gradient) of scale · loss(y, t): the upstream gradient of the loss is scale."""

    def judge(y: Any, t: Any, scale: float) -> Any:
        upstream = torch.tensor(scale, dtype=y.dtype)
        return scale * loss(y, t), gradients(lambda y: loss(y, t), upstream, y)

    return judge


@case
def bce_with_logits(d: Draw) -> Call:
    shape = d.pick((d.matrix, d.image))()
    return bce_with_logits_call(d, d.array(2 * d.normal(shape)), d.uniform(0, 1, shape), d.scale())


def bce_with_logits_call(d: Draw, logits: Array, t: Array, scale: float) -> Call:
    def size(a: Array, t: Array, scale: float) -> Any:
        e = np.exp(-np.abs(a))
        p = np.where(a > 0, 1, e) / (1 + e)
        terms = np.maximum(a, 0) + np.abs(a) * t + np.log1p(e) + np.abs(a) * e
        return scale * terms.sum(), scale * (p + np.abs(a) * p * (1 - p) + t)

    return Call(
        (logits, t, scale),
        {"value": d.value(), "dlogits": d.out(logits.shape)},
        ref.bce_with_logits,
        torch_loss(lambda a, t: F.binary_cross_entropy_with_logits(a, t, reduction="sum")),
        size,
        terms=logits.size,
        in_place=(("dlogits", "logits"),),
        optional=("dlogits",),
    )


@case
def bce(d: Draw) -> Call:
    shape = d.pick((d.matrix, d.image))()
    return bce_call(d, d.uniform(0.02, 0.98, shape), d.uniform(0, 1, shape), d.scale())


def bce_call(d: Draw, p: Array, t: Array, scale: float) -> Call:
    def size(p: Array, t: Array, scale: float) -> Any:
        value, _ = ref.bce(p, t, scale)  # a sum of positive terms
        return value, scale * (p + t) / np.maximum(p * (1 - p), 1e-12)

    return Call(
        (p, t, scale),
        {"value": d.value(), "dp": d.out(p.shape)},
        ref.bce,
        torch_loss(lambda p, t: F.binary_cross_entropy(p, t, reduction="sum")),
        size,
        terms=p.size,
        optional=("dp",),
    )


def draw_targets(d: Draw) -> tuple[Array, Array, float]:
    """y, t and scale; y and t are equal here and there, and elsewhere apart by 0.1 or more."""
    shape = d.pick((d.matrix, d.image))()
    t = d.normal(shape)
    equal = d.rng.random(shape) < 0.1
    return d.array(np.where(equal, t, t + d.away_from_zero(shape))), t, d.scale()


@case
def mse(d: Draw) -> Call:
    y, t, scale = draw_targets(d)
    return Call(
        (y, t, scale),
        {"value": d.value(), "dy": d.out(y.shape)},
        ref.mse,
        torch_loss(lambda y, t: F.mse_loss(y, t, reduction="sum")),
        lambda y, t, scale: ref.mse(np.abs(y), -np.abs(t), scale),
        terms=y.size,
        optional=("dy",),
    )


@case
def l1(d: Draw) -> Call:
    y, t, scale = draw_targets(d)
    return Call(
        (y, t, scale),
        {"value": d.value(), "dy": d.out(y.shape)},
        ref.l1,
        torch_loss(lambda y, t: F.l1_loss(y, t, reduction="sum")),
        lambda y, t, scale: ref.l1(np.abs(y), -np.abs(t), scale),
        terms=y.size,
        optional=("dy",),
    )


# ------------------------------------------------------------ gaussian_kl.py
def draw_latent(d: Draw) -> tuple[Array, Array]:
    """mean and log_var, (N, Z) each, that may be the halves of one array."""
    shape = d.matrix()
    mean, log_var = d.rng.normal(0, 1, shape), d.rng.uniform(-4, 2, shape)
    return d.halves(mean.astype(d.dtype), log_var.astype(d.dtype))


@case
def gaussian_kl(d: Draw) -> Call:
    mean, log_var = draw_latent(d)
    return gaussian_kl_call(d, mean, log_var, d.scale())


def gaussian_kl_call(d: Draw, mean: Array, log_var: Array, scale: float) -> Call:
    def divergence(mean: Any, log_var: Any) -> Any:
        q = Normal(mean, torch.exp(log_var / 2), validate_args=False)
        p = Normal(torch.zeros_like(mean), torch.ones_like(mean))
        return kl_divergence(q, p).sum()

    def judge(mean: Any, log_var: Any, scale: float) -> Any:
        upstream = torch.tensor(scale, dtype=mean.dtype)
        found = gradients(divergence, upstream, mean, log_var)
        return scale * divergence(mean, log_var), *found

    def size(mean: Array, log_var: Array, scale: float) -> Any:
        var = np.exp(log_var) * (1 + np.abs(log_var))
        value = 0.5 * scale * np.sum(mean**2 + var + 1 + np.abs(log_var))
        return value, scale * np.abs(mean), 0.5 * scale * (var + 1)

    dmean, dlog_var = d.out_halves(*mean.shape)
    return Call(
        (mean, log_var, scale),
        {"value": d.value(), "dmean": dmean, "dlog_var": dlog_var},
        ref.gaussian_kl,
        judge,
        size,
        terms=mean.size,
        optional=("dmean", "dlog_var"),
    )


# ------------------------------------------------------------ softmax_cross_entropy.py
@case
def softmax_cross_entropy(d: Draw) -> Call:
    N, classes = d.matrix()
    logits = d.array(3 * d.normal((N, classes)))
    return softmax_cross_entropy_call(d, logits, d.integers(classes, (N,)), d.scale())


def softmax_cross_entropy_call(d: Draw, logits: Array, labels: Array, scale: float) -> Call:
    def size(logits: Array, labels: Array, scale: float) -> Any:
        n = np.arange(len(labels))
        below = logits.max(axis=1, keepdims=True) - logits  # (N, classes), >= 0
        s = np.exp(-below).sum(axis=1, keepdims=True)  # (N, 1)
        dlogits = scale * (1 + below) * np.exp(-below) / s
        dlogits[n, labels] += scale
        return scale * np.sum(1 + np.log(s[:, 0]) + below[n, labels]), dlogits

    return Call(
        (logits, labels, scale),
        {"value": d.value(), "dlogits": d.out(logits.shape)},
        ref.softmax_cross_entropy,
        torch_loss(lambda a, labels: F.cross_entropy(a, labels, reduction="sum")),
        size,
        terms=len(labels) + 2 * logits.shape[1],
        optional=("dlogits",),
    )


# ------------------------------------------------------------ mixed_loss.py
def draw_mixed(d: Draw) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """(N, C, L), how many channels are numbers, and the sizes of the groups of the others."""
    if d.large:
        return (64, 16, 128), 3, (5, 8)
    numeric, groups = d.each(((3, ()), (0, (4,)), (1, (1, 3)), (2, (5, 2, 31))))
    return (d.pick(SIZES), numeric + sum(groups), d.pick((1, 2, 7))), numeric, groups


def split_groups(numeric: int, groups: tuple[int, ...]) -> list[slice]:
    """Where each group stands among the channels."""
    ends = np.cumsum([numeric, *groups])
    return [slice(a, b) for a, b in pairwise(ends)]


@case
def mixed_loss(d: Draw) -> Call:
    shape, numeric, groups = draw_mixed(d)
    t = d.rng.normal(size=shape)
    t[:, numeric:] = d.rng.random((shape[0], shape[1] - numeric, shape[2]))  # T is not 1
    return mixed_loss_call(d, d.array(3 * d.normal(shape)), t, numeric, groups, d.scale())


def mixed_loss_call(
    d: Draw, y: Array, t: Array, numeric: int, groups: tuple[int, ...], scale: float
) -> Call:
    def loss(y: Any, t: Any) -> Any:
        value = 0.5 * ((y - t)[:, :numeric] ** 2).sum()
        for g in split_groups(numeric, groups):
            value = value - (t[:, g] * torch.log_softmax(y[:, g], dim=1)).sum()
        return value

    def judge(y: Any, t: Any, numeric: int, groups: Any, scale: float) -> Any:
        return torch_loss(loss)(y, t, scale)

    def size(y: Array, t: Array, numeric: int, groups: Any, scale: float) -> Any:
        dy = scale * (np.abs(y) + np.abs(t))
        value = 0.5 * np.sum((np.abs(y) + np.abs(t))[:, :numeric] ** 2)
        for g in split_groups(numeric, groups):
            below = y[:, g].max(axis=1, keepdims=True) - y[:, g]  # (N, size, L), >= 0
            s = np.exp(-below).sum(axis=1, keepdims=True)  # (N, 1, L)
            T = t[:, g].sum(axis=1, keepdims=True)
            value += np.sum(T * (1 + np.log(s))) + np.sum(t[:, g] * below)
            dy[:, g] = scale * (T * (1 + below) * np.exp(-below) / s + t[:, g])
        return scale * value, dy

    return Call(
        (y, d.array(t.astype(d.dtype)), numeric, groups, scale),
        {"value": d.value(), "dy": d.out(y.shape)},
        ref.mixed_loss,
        judge,
        size,
        terms=y.size + 2 * max(groups, default=1),
        optional=("dy",),
    )


@case
def mixed_output(d: Draw) -> Call:
    shape, numeric, groups = draw_mixed(d)

    def judge(y: Any, numeric: int, groups: Any) -> Any:
        parts = [torch.softmax(y[:, g], dim=1) for g in split_groups(numeric, groups)]
        return torch.cat([y[:, :numeric], *parts], dim=1)

    def size(y: Array, numeric: int, groups: Any) -> Array:
        out = np.abs(y)
        for g in split_groups(numeric, groups):
            below = y[:, g].max(axis=1, keepdims=True) - y[:, g]
            s = np.exp(-below).sum(axis=1, keepdims=True)
            out[:, g] = (1 + below) * np.exp(-below) / s
        return out

    return Call(
        (d.array(3 * d.normal(shape)), numeric, groups),
        {"out": d.out(shape)},
        ref.mixed_output,
        judge,
        size,
        terms=2 * max(groups, default=1),
    )


# ------------------------------------------------------------ reparameterization.py
@case
def reparameterize_forward(d: Draw) -> Call:
    mean, log_var = draw_latent(d)

    def size(mean: Array, log_var: Array, eps: Array) -> Array:
        return np.abs(mean) + (1 + np.abs(log_var)) * np.exp(log_var / 2) * np.abs(eps)

    return Call(
        (mean, log_var, d.normal(mean.shape)),
        {"out": d.out(mean.shape)},
        ref.reparameterize_forward,
        lambda mean, log_var, eps: mean + torch.exp(log_var / 2) * eps,
        size,
    )


@case
def reparameterize_backward(d: Draw) -> Call:
    mean, log_var = draw_latent(d)
    accumulate = d.each((False, True))
    dmean, dlog_var = d.out_halves(*mean.shape)
    if accumulate:
        dmean[...] = d.rng.normal(size=mean.shape)
        dlog_var[...] = d.rng.normal(size=mean.shape)
    before = (in_double(dmean), in_double(dlog_var)) if accumulate else (0.0, 0.0)

    def reference(*arguments: Array) -> Any:
        found = ref.reparameterize_backward(*arguments)
        return before[0] + found[0], before[1] + found[1]

    def judge(dz: Any, log_var: Any, eps: Any) -> Any:
        found = gradients(lambda m, v: m + torch.exp(v / 2) * eps, dz, mean, log_var)
        return before[0] + found[0].numpy(), before[1] + found[1].numpy()

    def size(dz: Array, log_var: Array, eps: Array) -> Any:
        dmean, dlog_var = ref.reparameterize_backward(np.abs(dz), log_var, np.abs(eps))
        dlog_var = (1 + np.abs(log_var)) * dlog_var
        return np.abs(before[0]) + dmean, np.abs(before[1]) + dlog_var

    return Call(
        (d.normal(mean.shape), log_var, d.normal(mean.shape)),
        {"dmean": dmean, "dlog_var": dlog_var},
        reference,
        judge,
        size,
        options={"accumulate": accumulate},
    )


# ------------------------------------------------------------ iwae.py
def draw_draws(d: Draw) -> tuple[Array, Array, Array, Array, Array]:
    """logits (k, N, D), t (N, D), z and eps (k, N, Z), log_var (N, Z)."""
    if d.large:
        k, N, D, Z = 5, 50, 500, 20
    else:
        k, N = d.pick((1, 2, 3, 5)), d.pick((1, 2, 31, 33))
        D, Z = d.pick(SIZES), d.pick((1, 2, 3, 31))
    logits = d.array(2 * d.normal((k, N, D)))
    z, eps = d.normal((k, N, Z)), d.normal((k, N, Z))
    return logits, d.uniform(0, 1, (N, D)), z, eps, d.uniform(-4, 2, (N, Z))


def torch_log_weights(logits: Any, t: Any, z: Any, eps: Any, log_var: Any) -> Any:
    """log p(t|z) + log p(z) - log q(z|t) by torch.distributions; eps settles where q's mean is."""
    std = torch.exp(log_var / 2)
    q = Normal(z - std * eps, std, validate_args=False)
    p = Normal(torch.zeros_like(z), torch.ones_like(z), validate_args=False)
    of_pixels = -F.binary_cross_entropy_with_logits(logits, t.expand_as(logits), reduction="none")
    return of_pixels.sum(2) + p.log_prob(z).sum(2) - q.log_prob(z).sum(2)


@case
def importance_weights_forward(d: Draw) -> Call:
    arguments = draw_draws(d)
    logits, _, z, *_ = arguments

    def size(logits: Array, t: Array, z: Array, eps: Array, log_var: Array) -> Array:
        a = np.abs(logits)
        of_pixels = np.sum(a + a * t + np.log(2), axis=2)
        # PyTorch's q finds eps again as (z - mean) / std, which loses what z has more
        std = np.exp(log_var / 2)
        again = np.abs(eps) * (np.abs(z) + std * np.abs(eps)) / std
        return of_pixels + np.sum(z * z + eps * eps + np.abs(log_var) + 2 + 2 * again, axis=2)

    return Call(
        arguments,
        {"out": d.out(logits.shape[:2])},
        ref.importance_weights_forward,
        torch_log_weights,
        size,
        terms=logits.shape[2] + z.shape[2],
    )


@case
def importance_weights_backward(d: Draw) -> Call:
    logits, t, z, *_ = draw_draws(d)
    weights = d.uniform(0.01, 1, logits.shape[:2])

    def judge(weights: Any, logits: Any, t: Any, z: Any) -> Any:
        """q's own logarithm, which does not depend on z when eps is kept, is left out."""
        p = Normal(torch.zeros_like(z), torch.ones_like(z), validate_args=False)

        def f(logits: Any, z: Any) -> Any:
            bce = F.binary_cross_entropy_with_logits(
                logits, t.detach().expand_as(logits), reduction="none"
            )
            return bce.sum(2) - p.log_prob(z).sum(2)

        return gradients(f, weights, logits, z)

    def size(weights: Array, logits: Array, t: Array, z: Array) -> Any:
        p = 1 / (1 + np.exp(-logits))
        across = weights[:, :, None]
        return across * (p + np.abs(logits) * p * (1 - p) + t), across * np.abs(z)

    return Call(
        (weights, logits, t, z),
        {"dlogits": d.out(logits.shape), "dz": d.out(z.shape)},
        ref.importance_weights_backward,
        judge,
        size,
        in_place=(("dlogits", "logits"),),
    )


@case
def importance_bound(d: Draw) -> Call:
    shape = (50, 2000) if d.large else (d.pick((1, 2, 5, 31)), d.pick(SIZES))
    return importance_bound_call(d, d.array(3 * d.normal(shape) - 100), d.scale())


def importance_bound_call(d: Draw, log_w: Array, scale: float) -> Call:
    def judge(log_w: Any, scale: float) -> Any:
        def f(log_w: Any) -> Any:
            return (torch.logsumexp(log_w, dim=0) - np.log(len(log_w))).sum()

        upstream = torch.tensor(scale, dtype=log_w.dtype)
        return -scale * f(log_w), gradients(f, upstream, log_w)

    def size(log_w: Array, scale: float) -> Any:
        below = log_w.max(axis=0) - log_w  # (k, N), >= 0
        shares = np.exp(-below)
        rounding = np.abs(log_w).max(axis=0)  # a difference of such numbers is off by as much
        weights = scale * (1 + rounding) * shares / shares.sum(axis=0)
        return scale * np.sum(1 + np.log(len(log_w)) + rounding), weights

    return Call(
        (log_w, scale),
        {"value": d.value(), "weights": d.out(log_w.shape)},
        ref.importance_bound,
        judge,
        size,
        terms=log_w.shape[0] + log_w.shape[1],
        optional=("weights",),
    )


# ------------------------------------------------------------ sgd.py, adam.py, …
def draw_weights(d: Draw) -> tuple[Array, Array]:
    """w and dw, with no dw so small that weight decay cancels it."""
    P = d.length()
    sign = d.rng.choice([-1.0, 1.0], P)
    dw = d.array((sign * d.rng.uniform(0.2, 2, P)).astype(d.dtype))
    return d.state(d.rng.normal(size=P)), dw


def torch_step(
    optimizer: Callable[..., Any], w: Any, dw: Any, state: dict[str, Any], **options: Any
) -> tuple[Any, ...]:
    """(w, the arrays of the state) after one step of a PyTorch optimizer from this state."""
    parameter = torch.nn.Parameter(w.detach().clone())
    parameter.grad = dw.detach()
    stepping = optimizer([parameter], **options)
    stepping.state[parameter].update({n: s.detach().clone() for n, s in state.items()})
    stepping.step()
    after = stepping.state[parameter]
    return parameter, *(after.get(n) for n in state if n != "step")


@case
def sgd(d: Draw) -> Call:
    w, dw = draw_weights(d)
    momentum, nesterov = d.each(((0.0, False), (0.9, False), (0.9, True)))
    decay, lr = d.pick((0.0, 0.01)), d.number(d.rng.uniform(0.01, 0.5))

    def reference(w: Array, dw: Array, velocity: Array, lr: Array, *_: Any) -> Any:
        return ref.sgd(w, dw, velocity, lr[0], momentum, decay, nesterov)

    def judge(w: Any, dw: Any, velocity: Any, *_: Any) -> Any:  # keeps none without momentum
        options = {"momentum": momentum, "weight_decay": decay, "nesterov": nesterov}
        state = {"momentum_buffer": velocity}
        w, velocity = torch_step(torch.optim.SGD, w, dw, state, lr=float(lr[0]), **options)
        return w, velocity if momentum else None

    return Call(
        (w, dw, d.state(d.rng.normal(size=w.size)), lr, momentum, decay, nesterov),
        {},
        reference,
        judge,
        lambda w, dw, velocity, lr, *_: reference(*map(np.abs, (w, dw, velocity)), -lr),
        updated=("w", "velocity"),
    )


def adam_call(d: Draw, reference: Any, optimizer: Any) -> Call:
    w, dw = draw_weights(d)
    step = d.number(d.pick((0, 1, 10, 1000)), np.int64)
    first = 0.0 if step[0] == 0 else 1.0
    m = d.state(first * d.rng.normal(size=w.size))
    v = d.state(first * d.rng.uniform(0.1, 2, w.size))
    lr, decay = d.number(d.rng.uniform(1e-3, 0.1)), d.pick((0.0, 0.01))
    (beta1, beta2), eps = d.pick(((0.9, 0.999), (0.5, 0.9))), d.pick((1e-8, 1e-3))

    def answer(w: Array, dw: Array, m: Array, v: Array, step: Array, lr: Array, *_: Any) -> Any:
        return reference(w, dw, m, v, int(step[0]), lr[0], beta1, beta2, eps, decay)

    def judge(w: Any, dw: Any, m: Any, v: Any, *_: Any) -> Any:
        state = {"step": torch.tensor(float(step[0])), "exp_avg": m, "exp_avg_sq": v}
        options = {"lr": float(lr[0]), "betas": (beta1, beta2), "eps": eps, "weight_decay": decay}
        return torch_step(optimizer, w, dw, state, **options)

    return Call(
        (w, dw, m, v, step, lr, beta1, beta2, eps, decay),
        {},
        answer,
        judge,
        lambda w, dw, m, v, step, lr, *_: answer(*map(np.abs, (w, dw, m, v)), step, -lr),
        updated=("w", "m", "v"),
    )


@case
def adam(d: Draw) -> Call:
    return adam_call(d, ref.adam, torch.optim.Adam)


@case
def adamw(d: Draw) -> Call:
    return adam_call(d, ref.adamw, torch.optim.AdamW)


@case
def rmsprop(d: Draw) -> Call:
    w, dw = draw_weights(d)
    v = d.state(d.pick((0.0, 1.0)) * d.rng.uniform(0.1, 2, w.size))
    lr, decay = d.number(d.rng.uniform(1e-3, 0.1)), d.pick((0.0, 0.01))
    alpha, eps = d.pick((0.99, 0.9)), d.pick((1e-8, 1e-3))

    def reference(w: Array, dw: Array, v: Array, lr: Array, *_: Any) -> Any:
        return ref.rmsprop(w, dw, v, lr[0], alpha, eps, decay)

    def judge(w: Any, dw: Any, v: Any, *_: Any) -> Any:
        options = {"lr": float(lr[0]), "alpha": alpha, "eps": eps, "weight_decay": decay}
        state = {"step": torch.tensor(0.0), "square_avg": v}
        return torch_step(torch.optim.RMSprop, w, dw, state, **options)

    return Call(
        (w, dw, v, lr, alpha, eps, decay),
        {},
        reference,
        judge,
        lambda w, dw, v, lr, *_: reference(*map(np.abs, (w, dw, v)), -lr),
        updated=("w", "v"),
    )


@case
def clip_by_norm(d: Draw) -> Call:
    dw = d.state(d.rng.normal(size=d.length()))
    longest = float(np.linalg.norm(dw)) * d.each((0.5, 2.0))

    def reference(dw: Array, longest: float) -> Any:
        dw, norm = ref.clip_by_norm(dw, longest)
        return norm, dw

    def judge(dw: Any, longest: float) -> Any:
        parameter = torch.nn.Parameter(torch.empty_like(dw))
        parameter.grad = dw.detach().clone()
        norm = torch.nn.utils.clip_grad_norm_([parameter], longest)
        return norm, parameter.grad

    return Call(
        (dw, longest), {"norm": d.value()}, reference, judge, terms=dw.size, updated=("dw",)
    )


# ------------------------------------------------------------ gather.py
@case
def gather(d: Draw) -> Call:
    M, D = d.matrix()
    kind = d.each(("uint8", "same", "float32", "float64"))
    kind = d.dtype if kind == "same" else np.dtype(kind)
    scale, shift = d.pick(((1.0, 0.0), (1 / 255, 0.0), (2.0, -1.0)))
    values = d.rng.integers(256, size=(M, D)) if kind == np.uint8 else d.rng.normal(size=(M, D))
    indices = d.integers(M, (d.matrix()[0],))

    def reference(source: Array, indices: Array, scale: float, shift: float) -> Array:
        return ref.gather(source, indices, scale, shift)

    return Call(
        (d.array(values.astype(kind)), indices, scale, shift),
        {"out": d.out((indices.size, D))},
        reference,
        lambda source, indices, *_: source.to(torch_dtype(d))[indices] * scale + shift,
        lambda source, indices, *_: reference(np.abs(source), indices, scale, abs(shift)),
    )


def torch_dtype(d: Draw) -> Any:
    return torch.float32 if d.dtype == np.float32 else torch.float64


@case
def take(d: Draw) -> Call:
    source = d.integers(2**60, (d.length(),)) - 2**59
    indices = d.integers(source.size, (d.length(),))
    outputs = {"out": d.out(indices.shape, np.int64)}
    return Call((source, indices), outputs, ref.take, torch.take, terms=None)


@case
def argsort(d: Draw) -> Call:
    """Random keys; where they are few also keys of few values in one word or both."""
    N, ranges = d.length(), [(2**32, 2**32)]
    if N <= 1000:
        ranges += [(3, 2**32), (2**32, 1), (2, 2)]
    first, second = d.pick(ranges)
    words = [d.rng.integers(high, size=N, dtype=np.uint32) for high in (first, second)]
    keys = d.array(np.stack(words, axis=1))

    def judge(keys: Any) -> Any:
        words = keys.to(torch.int64)
        upper = torch.argsort(words[:, 1], stable=True)
        return upper[torch.argsort(words[upper, 0], stable=True)]

    return Call((keys,), {"out": d.out((N,), np.int64)}, ref.argsort, judge, terms=None)


@case
def one_hot(d: Draw) -> Call:
    N, classes = d.matrix()
    return Call(
        (d.integers(classes, (N,)),),
        {"out": d.out((N, classes))},
        lambda labels: ref.one_hot(labels, classes),
        lambda labels: F.one_hot(labels, classes),
        terms=None,
    )


@case
def binarize(d: Draw) -> Call:
    shape = d.pick((d.matrix, d.image))()
    x, u = d.uniform(0, 1, shape), d.uniform(0, 1, shape)
    x[d.rng.random(shape) < 0.2] = d.pick((0.0, 1.0))
    equal = d.rng.random(shape) < 0.1
    x[equal] = u[equal]
    return Call(
        (x, u),
        {"out": d.out(shape)},
        ref.binarize,
        lambda x, u: torch.lt(u, x).to(x.dtype),
        terms=None,
        in_place=(("out", "u"),),
    )


# ------------------------------------------------------------ sparse.py
def draw_sparse(d: Draw) -> tuple[int, Array, Array, Array]:
    """K; strips of a set, some samples without any; rows; x (N, D), not 0 in strips left out."""
    (N, D), (M, K) = d.matrix(), d.matrix()
    D, K = d.pick((D, 64, 784, 1000)), d.pick((K, 30, 128, 131))
    u = d.rng.random((M, D)) < d.pick((0.0, 0.05, 1.0)) * d.rng.integers(2, size=(M, 1))
    return K, d.array(strips_of(u)), d.integers(M, (N,)), d.normal((N, D))


def mask(strips: Any, rows: Any, D: int) -> Any:
    """m (N, D)."""
    words = np.asarray(strips)[np.asarray(rows)].astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")  # (N, 64·words)
    return torch.from_numpy(np.repeat(bits, STRIP, axis=1)[:, :D])


@case
def sparse_matmul(d: Draw) -> Call:
    K, strips, rows, x = draw_sparse(d)

    def size(strips: Any, rows: Any, x: Any, w: Any) -> Any:
        return ref.sparse_matmul(strips, rows, np.abs(x), np.abs(w))

    return Call(
        (strips, rows, x, d.normal((K, x.shape[1]))),
        {"out": d.out((len(x), K))},
        ref.sparse_matmul,
        lambda strips, rows, x, w: (x * mask(strips, rows, x.shape[1])) @ w.T,
        size,
        terms=x.shape[1],
    )


@case
def sparse_weight_gradient(d: Draw) -> Call:
    K, strips, rows, x = draw_sparse(d)
    D = x.shape[1]

    def judge(strips: Any, rows: Any, x: Any, dy: Any) -> Any:
        w = torch.zeros((K, D), dtype=dy.dtype, requires_grad=True)
        return gradients(lambda w: (x * mask(strips, rows, D)) @ w.T, dy, w)

    def size(strips: Any, rows: Any, x: Any, dy: Any) -> Any:
        return ref.sparse_weight_gradient(strips, rows, np.abs(x), np.abs(dy))

    return Call(
        (strips, rows, x, d.normal((len(x), K))),
        {"out": d.out((K, D))},
        ref.sparse_weight_gradient,
        judge,
        size,
        terms=len(x),
    )


# ------------------------------------------------------------ philox.py
KEYS = (0, 1, 2**32 - 1, 2**32, 0x299F31D0_A4093822, 2**64 - 1)
WORDS = (0, 1, 0x13198A2E, 2**31, 2**32 - 1)


def draw_stream(d: Draw) -> tuple[int, int, Array, Array, int]:
    """seed, purpose, step, rows, D. Rows and steps count modulo 2³², on either side of 0."""
    N, D = d.matrix()
    rows = d.rng.integers(-(2**40), 2**40, N)
    rows[0] = d.pick(WORDS)
    step = d.number(d.pick((*WORDS, 2**32 + 3, -1)), np.int64)
    return d.pick(KEYS), d.pick(WORDS), step, d.array(rows), D


def random_call(d: Draw, reference: Any, dtype: Any, *more: float, **limits: Any) -> Call:
    *arguments, D = draw_stream(d)

    def answer(seed: int, purpose: int, step: Array, rows: Array, *more: float) -> Array:
        return reference(seed, purpose, int(step[0]), rows, *more, D)

    out = d.out((arguments[3].size, D), dtype)
    return Call((*arguments, *more), {"out": out}, answer, **limits)


@case
def random_uint32(d: Draw) -> Call:
    return random_call(d, ref.random_uint32, np.uint32, terms=None)


@case
def random_uniform(d: Draw) -> Call:
    return random_call(d, ref.random_uniform, d.dtype, terms=None)


@case
def random_normal(d: Draw) -> Call:
    def radius(seed: int, purpose: int, step: Array, rows: Array) -> Array:
        """√(-2 ln u), whose product with a cosine or sine a normal is."""
        D = call.outputs["out"].shape[1]
        u = ref.random_uniform(seed, purpose, int(step[0]), rows, D + D % 2)
        return np.repeat(np.sqrt(-2 * np.log(u[:, 0::2])), 2, axis=1)[:, :D]

    call = random_call(d, ref.random_normal, d.dtype, size=radius)
    return call


@case
def random_bernoulli(d: Draw) -> Call:
    keep = d.pick((0.0, 0.5, 0.8, 1.0, "a drawn u"))
    if keep == "a drawn u":  # which is not below itself
        keep = float(ref.random_uniform(0, 0, 0, np.zeros(1, np.int64), 1)[0, 0])
    return random_call(d, ref.random_bernoulli, d.dtype, keep, terms=None)
