"""Initial values of parameters.

An initializer turns numbers drawn for one parameter into its values. fan_in and fan_out are those
of PyTorch: for a weight of shape (A, B, *kernel), fan_in = B·|kernel| and fan_out = A·|kernel|
(so for a transposed convolution, (C, K/G, KH, KW), fan_in is K/G·KH·KW).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from minae import random
from minae.backends import cpu_numpy
from minae.backends.spec import Array

_TOGETHER = 64  # rows that are drawn at a time: the scratch for all would outlive them


class Initializer(Protocol):
    """Values of one parameter, float64 (rows, columns) on the host."""

    def __call__(self, draw: "Draw", fan_in: int, fan_out: int) -> Array: ...


@dataclass(frozen=True)
class Draw:
    """Random numbers of the parameter with this number: uniform in (0, 1) or standard normal.

    They are drawn by NumPy whatever the backend, since values are wanted on the host, and once.
    """

    seed: int
    number: int
    rows: int
    columns: int

    def uniform(self) -> Array:
        return self._fill(cpu_numpy.random_uniform)

    def normal(self) -> Array:
        return self._fill(cpu_numpy.random_normal)

    def _fill(self, operation) -> Array:  # type: ignore[no-untyped-def]
        out, number = np.empty((self.rows, self.columns)), np.array([self.number], np.int64)
        for first in range(0, self.rows, _TOGETHER):
            some = out[first : first + _TOGETHER]
            rows = np.arange(first, first + len(some), dtype=np.int64)
            operation(self.seed, random.WEIGHTS, number, rows, out=some)
        return out


@dataclass(frozen=True)
class PyTorchDefault:
    """Uniform in ±1/√fan_in, for weights and biases alike: what torch.nn.Linear and Conv2d do.

    (It is not Xavier's, though course pages call it so; its variance is 1/(3 fan_in).)
    """

    def __call__(self, draw: Draw, fan_in: int, fan_out: int) -> Array:
        return (2 * draw.uniform() - 1) / sqrt(fan_in)


@dataclass(frozen=True)
class Xavier:
    """Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    def __call__(self, draw: Draw, fan_in: int, fan_out: int) -> Array:
        return (2 * draw.uniform() - 1) * sqrt(6 / (fan_in + fan_out))


@dataclass(frozen=True)
class He:
    """N(0, 2 / fan_in), for layers followed by ReLU (He et al. 2015)."""

    def __call__(self, draw: Draw, fan_in: int, fan_out: int) -> Array:
        return draw.normal() * sqrt(2 / fan_in)


@dataclass(frozen=True)
class Normal:
    """N(0, std²)."""

    std: float

    def __call__(self, draw: Draw, fan_in: int, fan_out: int) -> Array:
        return draw.normal() * self.std


@dataclass(frozen=True)
class Zeros:
    """All zero."""

    def __call__(self, draw: Draw, fan_in: int, fan_out: int) -> Array:
        return np.zeros((draw.rows, draw.columns))


@dataclass(frozen=True)
class Ones:
    """All one (batch normalization's gamma)."""

    def __call__(self, draw: Draw, fan_in: int, fan_out: int) -> Array:
        return np.ones((draw.rows, draw.columns))
