"""A backend that keeps a list of what a step asks of it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.models import blank, training
from minae.backends.spec import OPERATIONS, Array, Backend
from minae.recipes import Recipe

# Arrays that an operation both reads and writes, and those of which it reads some rows only.
UPDATED = {
    "adam": ("w", "m", "v"),
    "adamw": ("w", "m", "v"),
    "batch_norm_forward": ("running_mean", "running_var"),
    "clip_by_norm": ("dw",),
    "rmsprop": ("w", "v"),
    "sgd": ("w", "velocity"),
}
BY_ROW = {"gather": ("source", "indices"), "take": ("source", "indices")}


@dataclass(frozen=True)
class Call:
    """One call of an operation: its name, and its arguments by name."""

    name: str
    arguments: dict[str, Any]

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    def arrays(self) -> dict[str, Array]:
        return {k: a for k, a in self.arguments.items() if isinstance(a, np.ndarray)}

    @property
    def nbytes(self) -> int:
        """Bytes read and written if each array passes through memory once."""
        arrays = self.arrays()
        total = sum(array.nbytes for array in arrays.values())
        total += sum(arrays[name].nbytes for name in UPDATED.get(self.name, ()))
        if self.name in BY_ROW:
            source, indices = (arrays[name] for name in BY_ROW[self.name])
            total += len(indices) * source[0].nbytes - source.nbytes
        return total


# Operations that a step cannot be recorded without
MAKING = ("empty", "zeros", "asarray", "to_numpy", "device_name", "sparse_pays")


class Recorder:
    """Passes every operation on to a backend, and keeps a list of the calls.

    Dry, it passes on only those that make arrays, and nothing is computed: shapes alone count.
    """

    def __init__(self, ops: Backend, *, dry: bool = False) -> None:
        self.ops, self.dry = ops, dry
        self.calls: list[Call] = []

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """Run itself, call by call, where a backend would leave the layers out."""
        run()
        return run

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.ops, name)
        return self._recorded(name, function) if name in OPERATIONS else function

    def _recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        def record(*arguments: Any, **named: Any) -> Any:
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            self.calls.append(Call(name, bound.arguments))
            if self.dry and name not in MAKING:
                return None
            return function(*arguments, **named)

        return record


def record_step(recipe: Recipe, ops: Backend, batch_size: int, *, dry: bool = False) -> list[Call]:
    """The calls of one training step, the first one in an epoch left out."""
    recorder = Recorder(ops, dry=dry)
    with np.errstate(over="ignore", invalid="ignore"):  # dry, arrays hold what they happen to
        recipe.model.bind(recorder, np.float32, recipe.seed)
        run = training(recipe, *blank(2 * batch_size), batch_size)
        run.step()
        recorder.calls.clear()
        run.step()
    return recorder.calls
