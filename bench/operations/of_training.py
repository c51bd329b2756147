"""The operations around the layers: losses, latent variables, optimizers, data, random numbers."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.operations.case import Case, Draw, N, as_tuple, empty, in_words

Z, CLASSES = 20, 10
P = 652_864  # numbers in the VAE's flat vector
LR, KEEP = 1e-3, 0.7


def losses(draw: Draw) -> Iterator[Case]:
    """Value and gradient; PyTorch's through autograd."""
    (a, ta), (p, tp), (t, tt) = draw(N, 784), draw.uniform(N, 784), draw.uniform(N, 784)
    for name, y, ty, argument, gradient, function in (
        ("bce_with_logits", a, ta, "logits", "dlogits", F.binary_cross_entropy_with_logits),
        ("bce", p, tp, "p", "dp", F.binary_cross_entropy),
        ("mse", p, tp, "y", "dy", F.mse_loss),
        ("l1", p, tp, "y", "dy", F.l1_loss),
    ):
        arguments = {argument: y, "t": t, "scale": 1 / (N * 784), "value": np.zeros(1)}
        rival = _autograd(lambda y, f=function: f(y, tt), ty)
        outputs = arguments | {gradient: empty(N, 784)}
        yield Case(name, "256×784", outputs, rival, ("value", gradient))
    (logits, tl), (labels, tlabels) = draw(N, CLASSES), draw.integers(CLASSES, N)
    arguments = {"logits": logits, "labels": labels, "scale": 1 / N, "value": np.zeros(1)}
    yield Case(
        "softmax_cross_entropy",
        "256×10",
        arguments | {"dlogits": empty(N, CLASSES)},
        _autograd(lambda a: F.cross_entropy(a, tlabels), tl),
        ("value", "dlogits"),
    )


def mixed(draw: Draw) -> Iterator[Case]:
    """Records of 34 numbers and three words, as intrusion's."""
    numeric, groups = 34, (3, 20, 11)
    C = numeric + sum(groups)
    y, ty = draw(N, C, 1)
    t, _ = draw(N, C, 1)
    t[:, numeric:] = 0
    starts = np.cumsum((numeric, *groups))[:-1]
    labels = [draw.integers(size, N)[0] for size in groups]
    for start, label in zip(starts, labels, strict=True):
        t[np.arange(N), start + label] = 1
    tt, tlabels = torch.from_numpy(t), [torch.from_numpy(label) for label in labels]

    def loss(y: Tensor) -> Tensor:
        total = F.mse_loss(y[:, :numeric], tt[:, :numeric], reduction="sum") / 2
        for part, label in zip(y[:, numeric:, 0].split(groups, 1), tlabels, strict=True):
            total = total + F.cross_entropy(part, label, reduction="sum")
        return total / N

    shape = {"numeric": numeric, "groups": groups}
    arguments = {"y": y, "t": t, "scale": 1 / N, "value": np.zeros(1), "dy": empty(N, C, 1)}
    sizes = f"{N}×({numeric} + {len(groups)} words)"
    yield Case("mixed_loss", sizes, arguments | shape, _autograd(loss, ty), ("value", "dy"))

    def output() -> tuple[Tensor, ...]:
        words = ty[:, numeric:, 0].split(groups, 1)
        return (torch.cat((ty[:, :numeric, 0], *(part.softmax(1) for part in words)), 1),)

    arguments = {"y": y, "out": empty(N, C, 1)}
    yield Case("mixed_output", sizes, arguments | shape, output, ("out",))


def _autograd(loss: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """The loss and its gradients."""
    leaves = [x.clone().requires_grad_() for x in inputs]

    def run() -> tuple[Tensor, ...]:
        value = loss(*leaves)
        return value.detach(), *torch.autograd.grad(value, leaves)

    return run


def latent(draw: Draw) -> Iterator[Case]:
    """As in the VAE: mean and log-variance are the halves of one array."""
    (h, th), (eps, teps), (dz, tdz) = draw(N, 2 * Z), draw(N, Z), draw(N, Z)
    halves = {"mean": h[:, :Z], "log_var": h[:, Z:]}
    tmean, tlog_var = th.chunk(2, dim=1)
    dh = empty(N, 2 * Z)
    gradients = {"dmean": dh[:, :Z], "dlog_var": dh[:, Z:]}

    def kl(mean: Tensor, log_var: Tensor) -> Tensor:
        return -0.5 / N * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())

    yield Case(
        "gaussian_kl",
        "256×20",
        halves | gradients | {"scale": 1 / N, "value": np.zeros(1)},
        _autograd(kl, tmean, tlog_var),
        ("value", "dmean", "dlog_var"),
    )
    yield Case(
        "reparameterize_forward",
        "256×20",
        halves | {"eps": eps, "out": empty(N, Z)},
        lambda: (tmean + torch.exp(0.5 * tlog_var) * teps,),
        ("out",),
    )
    yield Case(
        "reparameterize_backward",
        "256×20",
        {"dz": dz, "log_var": h[:, Z:], "eps": eps} | gradients,
        lambda: (tdz, 0.5 * tdz * teps * torch.exp(0.5 * tlog_var)),
        ("dmean", "dlog_var"),
    )


def contraction(draw: Draw) -> Iterator[Case]:
    """Of tanh; PyTorch's from the outputs, as ours."""
    (dv, tdv), (u, tu), (y, ty), (w, tw) = draw(N, 500), draw(N, 500), draw(N, 500), draw(500, 784)
    np.tanh(y, out=y)
    ty.tanh_()
    kind = {"activation": "tanh", "slope": 0.0}
    yield Case(
        "bias_activation_double_backward",
        "tanh, 256×500",
        {"dv": dv, "u": u, "y": y, "dy": empty(N, 500)} | kind,
        lambda: (-2 * tdv * tu * ty,),
        ("dy",),
    )

    def penalty(y: Tensor, w: Tensor) -> Tensor:
        return ((1 - y * y).square() @ w.square().sum(dim=1)).sum() / N

    written = {"value": np.zeros(1), "dy": empty(N, 500), "dw": empty(500, 784)}
    yield Case(
        "contractive_penalty",
        "tanh, 256×784 to 500",
        {"y": y, "w": w, "scale": 1 / N} | kind | written,
        _autograd(penalty, ty, tw),
        ("value", "dy", "dw"),
    )


def importance(draw: Draw) -> Iterator[Case]:
    """Five draws of 50 latent variables for each of 100 images."""
    k, images, D, J = 5, 100, 784, 50
    (logits, ta), (z, tz), (eps, te) = draw(k, images, D), draw(k, images, J), draw(k, images, J)
    (t, tt), (log_var, ts) = draw.uniform(images, D), draw(images, J)
    (weights, tweights), (log_w, tlog_w) = draw.uniform(k, images), draw(k, images)

    def log_weights() -> tuple[Tensor, ...]:
        target = tt.expand_as(ta)
        bce = F.binary_cross_entropy_with_logits(ta, target, reduction="none").sum(dim=2)
        return (-bce - 0.5 * (tz.square() - te.square() - ts).sum(dim=2),)

    def backward() -> tuple[Tensor, ...]:
        across = tweights[:, :, None]
        return across * (torch.sigmoid(ta) - tt), across * tz

    shared = {"logits": logits, "t": t, "z": z}
    yield Case(
        "importance_weights_forward",
        "5×100×784",
        shared | {"eps": eps, "log_var": log_var, "out": empty(k, images)},
        log_weights,
        ("out",),
    )
    yield Case(
        "importance_weights_backward",
        "5×100×784",
        shared | {"weights": weights, "dlogits": empty(k, images, D), "dz": empty(k, images, J)},
        backward,
        ("dlogits", "dz"),
    )
    yield Case(
        "importance_bound",
        "5×100",
        {"log_w": log_w, "scale": 0.01, "value": np.zeros(1), "weights": empty(k, images)},
        lambda: (
            -0.01 * (torch.logsumexp(tlog_w, 0) - np.log(k)).sum(),
            0.01 * torch.softmax(tlog_w, 0),
        ),
        ("value", "weights"),
    )


def optimizers(draw: Draw) -> Iterator[Case]:
    """One flat vector, PyTorch's fused form where it has one."""
    adam = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}
    for name, state, options, kind, arguments in (
        ("sgd", ("velocity",), {"momentum": 0.9, "weight_decay": 0.0, "nesterov": True},
         torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
        ("adam", ("m", "v", "step"), adam,
         torch.optim.Adam, {"weight_decay": 0.01, "fused": True}),
        ("adamw", ("m", "v", "step"), adam,
         torch.optim.AdamW, {"weight_decay": 0.01, "fused": True}),
        ("rmsprop", ("v",), {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0},
         torch.optim.RMSprop, {}),
    ):  # fmt: skip
        (w, tw), (dw, tdw) = draw(P), draw(P)
        tw.requires_grad_()
        tw.grad = tdw
        optimizer = kind([tw], LR, **arguments)
        kept = {k: np.zeros(1, np.int64) if k == "step" else empty(P) for k in state}

        def step(optimizer: torch.optim.Optimizer = optimizer, w: Tensor = tw) -> tuple[Tensor]:
            optimizer.step()
            return (w.detach(),)

        values = {"w": w, "dw": dw, "lr": np.array([LR])} | kept | options
        yield Case(name, f"{P:,}", values, step, ("w",))
    dw, tdw = draw(P)
    parameter = torch.zeros(P, requires_grad=True)
    parameter.grad = tdw

    def clip() -> tuple[Tensor, ...]:
        norm = torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        return norm, tdw

    arguments = {"dw": dw, "max_norm": 1.0, "norm": np.zeros(1)}
    yield Case("clip_by_norm", f"{P:,}", arguments, clip, ("norm", "dw"))


def data(draw: Draw) -> Iterator[Case]:
    M = 60_000
    source = draw.rng.integers(256, size=(M, 784), dtype=np.uint8)
    (rows, trows), (labels, tlabels) = draw.integers(M, N), draw.integers(CLASSES, M)
    tsource = torch.from_numpy(source)
    gather = {"source": source, "indices": rows, "scale": 1 / 255, "shift": 0.0}
    yield Case(
        "gather",
        "256 of 60,000×784 bytes",
        gather | {"out": empty(N, 784)},
        lambda: (tsource.index_select(0, trows).float().mul_(1 / 255),),
        ("out",),
    )
    take = {"source": labels, "indices": rows, "out": np.zeros(N, np.int64)}
    yield Case("take", "256", take, lambda: (tlabels.index_select(0, trows),), ("out",))
    words = draw.rng.integers(2**32, size=(M, 2), dtype=np.uint32)
    tkeys = torch.from_numpy(words[:, 0].astype(np.int64) << 31 | words[:, 1] >> 1)  # (M,)
    argsort = {"keys": words, "out": np.zeros(M, np.int64)}
    yield Case("argsort", "60,000", argsort, lambda: (torch.argsort(tkeys),), ("out",))
    some, tsome = labels[:N], tlabels[:N]
    one_hot = {"labels": some, "out": empty(N, CLASSES)}
    (x, tx), (u, tu) = draw.uniform(N, 784), draw.uniform(N, 784)
    binarize = {"x": x, "u": u, "out": empty(N, 784)}
    yield Case("binarize", "256×784", binarize, lambda: (torch.lt(tu, tx).float(),), ("out",))
    yield Case("one_hot", "256×10", one_hot, lambda: (F.one_hot(tsome, 10).float(),), ("out",))


def draws(draw: Draw) -> Iterator[Case]:
    """Random numbers: another generator, so the numbers are not compared."""
    shared = {"seed": 0, "purpose": 1, "step": np.zeros(1, np.int64), "rows": np.arange(N)}
    words, out = np.zeros((N, 784), np.uint32), empty(N, 784)
    for name, written, rival in (
        ("random_uint32", {"out": words}, lambda: torch.randint(2**32, (N, 784))),
        ("random_uniform", {"out": out}, lambda: torch.rand(N, 784)),
        ("random_normal", {"out": out}, lambda: torch.randn(N, 784)),
        ("random_normal", {"out": empty(N, Z)}, lambda: torch.randn(N, Z)),
        (
            "random_bernoulli",
            {"keep": KEEP, "out": out},
            lambda: torch.empty(N, 784).bernoulli_(KEEP),
        ),
    ):
        yield Case(name, in_words(written["out"].shape), shared | written, as_tuple(rival), ())


FAMILIES = (losses, mixed, latent, contraction, importance, optimizers, data, draws)
