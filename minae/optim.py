"""Optimizers over the flat parameter vector, learning-rate schedules, clipping.

Derivations: reference/sgd.py, reference/adam.py, reference/rmsprop.py, reference/clip.py.
"""

from dataclasses import dataclass, field
from math import cos, pi
from typing import ClassVar, Protocol

import numpy as np

from minae.backends.spec import Array, Backend
from minae.changes import Watched
from minae.errors import MinaeError
from minae.parameters import Parameters


class Schedule(Protocol):
    """Factor on the learning rate at a step (0 is the first)."""

    def __call__(self, step: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """1 throughout."""

    def __call__(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class StepDecay:
    """gamma^⌊step / every⌋."""

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise MinaeError(f"StepDecay: every must be at least 1, found {self.every}")

    def __call__(self, step: int) -> float:
        return self.gamma ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """From 1 down to `final` in `steps` steps along half a cosine, `final` afterwards."""

    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise MinaeError(f"Cosine: steps must be at least 1, found {self.steps}")

    def __call__(self, step: int) -> float:
        done = min(step / self.steps, 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + cos(pi * done))


@dataclass(frozen=True)
class WarmUp:
    """(step + 1) / steps for the first `steps` steps, then `after`, counted from there."""

    steps: int
    after: Schedule = field(default_factory=Constant)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return (step + 1) / self.steps
        return self.after(step - self.steps)


@dataclass(eq=False)
class Optimizer(Watched):
    """One fused pass over the flat vector a step.

    `bind` makes the state; `step` updates the parameters from their gradients. The learning rate of
    the coming step and the number of steps done live in arrays of shape (1,) on the device.
    """

    uncounted: ClassVar[tuple[str, ...]] = ("lr", "schedule", "steps_done")

    lr: float = 1e-3
    schedule: Schedule = field(default_factory=Constant, kw_only=True)
    max_norm: float | None = field(default=None, kw_only=True)  # clip ‖gradient‖ to this
    parameters: Parameters = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise MinaeError(f"the learning rate must be greater than 0, found {self.lr}")
        if self.max_norm is not None and not self.max_norm > 0:
            raise MinaeError(f"max_norm must be greater than 0, found {self.max_norm}")

    def bind(self, parameters: Parameters) -> None:
        """Make the state for these parameters, all zero, and start at step 0."""
        self.parameters = parameters
        ops = parameters.ops
        self.steps_done = 0
        self.step_count = ops.zeros((1,), np.int64)
        self._one = ops.asarray(np.ones(1), np.int64)
        self.current_lr = ops.zeros((1,), np.float64)
        self._sent_lr: float | None = None
        self.norm = ops.zeros((1,), np.float64)
        self.state = {
            name: ops.zeros(parameters.values.shape, parameters.dtype)
            for name in self.state_names()
        }

    def resume(self, steps: int) -> None:
        """Go on after so many steps, whose state the caller has put back."""
        self.steps_done = steps
        ops = self.parameters.ops
        ops.copy(ops.asarray(np.array([steps]), np.int64), out=self.step_count)

    def state_names(self) -> tuple[str, ...]:
        """Names of the flat vectors that the rule keeps."""
        return ()

    def step(self) -> None:
        """Update the parameters from their gradients."""
        self.begin_step()
        self.apply()

    def begin_step(self) -> None:
        """What the host does for a step: it counts, and sends a learning rate that is a new one."""
        lr = self.lr * self.schedule(self.steps_done)
        if lr != self._sent_lr:
            ops, self._sent_lr = self.parameters.ops, lr
            ops.copy(ops.asarray(np.array([lr])), out=self.current_lr)
        self.steps_done += 1

    def apply(self) -> None:
        """What the device does for a step, from arrays alone, so that it can be recorded."""
        ops = self.parameters.ops
        if self.max_norm is not None:
            ops.clip_by_norm(self.parameters.gradients, self.max_norm, norm=self.norm)
        self.update(ops, self.parameters.values, self.parameters.gradients)
        ops.add(self.step_count, self._one, out=self.step_count)

    def update(self, ops: Backend, w: Array, dw: Array) -> None:
        """The rule itself."""
        raise NotImplementedError


@dataclass(eq=False)
class SGD(Optimizer):
    """velocity = momentum · velocity + g, w -= lr · velocity, as in PyTorch; Nesterov by option."""

    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def state_names(self) -> tuple[str, ...]:
        return ("velocity",)

    def update(self, ops: Backend, w: Array, dw: Array) -> None:
        velocity = self.state["velocity"]
        ops.sgd(w, dw, velocity, self.current_lr, self.momentum, self.weight_decay, self.nesterov)


@dataclass(eq=False)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); weight_decay is added to the gradient."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def state_names(self) -> tuple[str, ...]:
        return ("m", "v")

    def update(self, ops: Backend, w: Array, dw: Array) -> None:
        ops.adam(
            w,
            dw,
            self.state["m"],
            self.state["v"],
            self.step_count,
            self.current_lr,
            self.beta1,
            self.beta2,
            self.eps,
            self.weight_decay,
        )


@dataclass(eq=False)
class AdamW(Adam):
    """Adam with weight decay beside the gradient, not in it (Loshchilov and Hutter 2019)."""

    weight_decay: float = 0.01

    def update(self, ops: Backend, w: Array, dw: Array) -> None:
        ops.adamw(
            w,
            dw,
            self.state["m"],
            self.state["v"],
            self.step_count,
            self.current_lr,
            self.beta1,
            self.beta2,
            self.eps,
            self.weight_decay,
        )


@dataclass(eq=False)
class RMSprop(Optimizer):
    """w -= lr · g / (√v + eps), v a running mean of g² (Hinton, lecture 6e)."""

    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0

    def state_names(self) -> tuple[str, ...]:
        return ("v",)

    def update(self, ops: Backend, w: Array, dw: Array) -> None:
        ops.rmsprop(
            w, dw, self.state["v"], self.current_lr, self.alpha, self.eps, self.weight_decay
        )
