"""A call of an operation with its counterpart in PyTorch, and what its arrays are drawn from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minae.backends import get_backend
from minae.backends.spec import Array

N = 256  # samples


@dataclass(frozen=True)
class Case:
    """One call: the operation, the sizes in words, its arguments, and what PyTorch does for it.

    `written` names the arguments that hold what `rival` returns, in its order; none where the two
    draw different random numbers.
    """

    operation: str
    sizes: str
    arguments: dict[str, Any]
    rival: Callable[[], tuple[Tensor, ...]]
    written: tuple[str, ...]

    def run(self, backend: str) -> None:
        getattr(get_backend(backend), self.operation)(**self.arguments)


class Draw:
    """Arrays of random numbers, and tensors with copies of them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, *shape: int) -> tuple[Array, Tensor]:
        a = self.rng.standard_normal(shape, np.float32)
        return a, torch.from_numpy(a.copy())

    def uniform(self, *shape: int) -> tuple[Array, Tensor]:
        a = self.rng.uniform(0.05, 0.95, shape).astype(np.float32)
        return a, torch.from_numpy(a.copy())

    def integers(self, high: int, size: int) -> tuple[Array, Tensor]:
        a = self.rng.integers(high, size=size)
        return a, torch.from_numpy(a.copy())


def empty(*shape: int, dtype: Any = np.float32) -> Array:
    return np.zeros(shape, dtype)


def as_tuple(rival: Callable[[], Tensor]) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (rival(),)


def in_words(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
