"""Losses: the value and its gradient in one call. Derivation: reference/losses.py.

Each states its reduction over a batch of N samples of D elements, and its unit:

| reduction | value                       | unit of BCE         | unit of MSE              |
|-----------|-----------------------------|---------------------|--------------------------|
| mean      | Σ over all elements / (N·D) | nats a pixel        | squared error a pixel    |
| image     | Σ over all elements / N     | nats an image       | squared error an image   |
| sum       | Σ over all elements         | nats a batch        | squared error a batch    |
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from minae.backends.spec import Array, Backend
from minae.errors import MinaeError

REDUCTIONS = ("mean", "image", "sum")


@dataclass(frozen=True)
class Loss:
    """value = scale · Σ of the loss over all elements, dy = its gradient, in one pass.

    y, t, dy: (N, ...), one shape;  value: float64 (1,). With dy=None only the value is computed.
    """

    reduction: str = "mean"

    quantity: ClassVar[str]
    output_activation: ClassVar[str] = "identity"  # what turns the network's output into pixels
    types: ClassVar[dict[str, type["Loss"]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Loss.types[cls.__name__] = cls

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise MinaeError(
                f"unknown reduction {self.reduction!r}; choose one of {', '.join(REDUCTIONS)}"
            )

    def scale(self, shape: tuple[int, ...]) -> float:
        """What the sum over a batch of this shape is multiplied by."""
        divisor = {"mean": prod(shape), "image": shape[0], "sum": 1}
        return 1.0 / divisor[self.reduction]

    @property
    def unit(self) -> str:
        """Unit of the value averaged over batches (a sum is reported an image)."""
        return f"{self.quantity} {'a pixel' if self.reduction == 'mean' else 'an image'}"

    def batch_weight(self, samples: int) -> int:
        """Weight of one batch's value in an average over samples: Σ value·weight / Σ samples."""
        return 1 if self.reduction == "sum" else samples

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        raise NotImplementedError

    def output(self, ops: Backend, y: Array, *, out: Array) -> None:
        """The network's output y as pixels, or whatever t is: σ of logits. y, out: (N, ...)."""
        rows = (y.shape[0], -1)
        ops.bias_activation_forward(
            y.reshape(rows), None, self.output_activation, 0.0, out=out.reshape(rows)
        )


@dataclass(frozen=True)
class BCEWithLogits(Loss):
    """Binary cross-entropy of p = σ(y), computed from the logits y; dy = scale (σ(y) - t)."""

    quantity: ClassVar[str] = "nats"
    output_activation: ClassVar[str] = "sigmoid"

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        ops.bce_with_logits(y, t, self.scale(y.shape), value=value, dlogits=dy)


@dataclass(frozen=True)
class BCE(Loss):
    """Binary cross-entropy of probabilities y, logarithms held at -100 as in PyTorch."""

    quantity: ClassVar[str] = "nats"

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        ops.bce(y, t, self.scale(y.shape), value=value, dp=dy)


@dataclass(frozen=True)
class MSE(Loss):
    """Σ (y - t)²."""

    quantity: ClassVar[str] = "squared error"

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        ops.mse(y, t, self.scale(y.shape), value=value, dy=dy)


@dataclass(frozen=True)
class L1(Loss):
    """Σ |y - t|, with gradient 0 where y = t."""

    quantity: ClassVar[str] = "absolute error"

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        ops.l1(y, t, self.scale(y.shape), value=value, dy=dy)


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """-log softmax(y)[n, t[n]]. y: logits (N, classes);  t: int64 (N,).

    With reduction "mean" or "image" the sum is divided by N: a sample has one label.
    """

    quantity: ClassVar[str] = "nats"

    def scale(self, shape: tuple[int, ...]) -> float:
        return 1.0 if self.reduction == "sum" else 1.0 / shape[0]

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        ops.softmax_cross_entropy(y, t, self.scale(y.shape), value=value, dlogits=dy)


@dataclass(frozen=True)
class MixedLoss(Loss):
    """Numbers and one-hot words along axis 1: ½ Σ (y - t)² over the first `numeric` channels, and
    -Σ t log softmax(y) in each of the groups of channels, whose sizes are given in order.

    y, t: (N, C) or (N, C, ...), C = numeric + Σ groups. The squared half is the negative logarithm
    of a normal density of variance 1, less ½ log 2π. Derivation: reference/mixed_loss.py.
    """

    reduction: str = "image"
    numeric: int = 0
    groups: tuple[int, ...] = ()

    quantity: ClassVar[str] = "nats"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.numeric < 0 or min(self.groups, default=1) < 1 or self.channels < 1:
            raise MinaeError(
                f"a mixed loss wants 0 numbers or more, groups of 1 channel or more, and one "
                f"channel at least, found numeric={self.numeric}, groups={self.groups}"
            )

    @property
    def channels(self) -> int:
        """C, the size of axis 1."""
        return self.numeric + sum(self.groups)

    def __call__(self, ops: Backend, y: Array, t: Array, *, value: Array, dy: Array | None) -> None:
        shape = self._three(y)
        ops.mixed_loss(
            y.reshape(shape),
            t.reshape(shape),
            self.numeric,
            self.groups,
            self.scale(y.shape),
            value=value,
            dy=None if dy is None else dy.reshape(shape),
        )

    def output(self, ops: Backend, y: Array, *, out: Array) -> None:
        shape = self._three(y)
        ops.mixed_output(y.reshape(shape), self.numeric, self.groups, out=out.reshape(shape))

    def _three(self, y: Array) -> tuple[int, int, int]:
        """The shape of y as (N, C, L)."""
        if y.shape[1] != self.channels:
            raise MinaeError(
                f"a mixed loss of {self.channels} channels was given {y.shape[1]} along axis 1"
            )
        return y.shape[0], y.shape[1], prod(y.shape[2:])
