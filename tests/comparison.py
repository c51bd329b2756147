"""The one comparison that every test of the operations uses, and what the case table is made of.

An entry of the table (cases_of_layers.py, cases_of_training.py) draws the arguments of one call and
names two judges: the function of the same name in `reference/`, which is given the same numbers in
float64, and PyTorch, given them in their dtype, whose gradients come from torch.autograd.grad with
a random upstream gradient. `check` runs the
call, in every way the contract allows, and holds what it wrote against both.

How far a result may be off. `terms` is the number of terms that are summed in one element and
`size` the sum of their magnitudes, so that (Higham, Accuracy and Stability, 3.1) a sum in float32
is good to terms · 2⁻²⁴ · size. A size is the reference at the magnitudes of its arguments, unless
the entry says it by a formula. In float64 1e-10 is asked for, of each element and of the whole.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from minae.backends.spec import OPERATIONS, Array, Backend

FILES = (
    *("dense", "sparse", "activations", "conv2d", "class_bias", "pooling", "batch_norm", "dropout"),
    *("losses", "gaussian_kl", "softmax_cross_entropy", "reparameterization"),
    *("contractive", "iwae"),
    *("sgd", "adam", "rmsprop", "clip", "gather", "philox"),
)
ref = SimpleNamespace(  # the functions of reference/ that bear the names of operations
    **{
        name: function
        for file in FILES
        for name, function in vars(import_module(f"reference.{file}")).items()
        if name in OPERATIONS
    }
)
DTYPES = (np.float32, np.float64)
SEEDS = range(16)  # of the calls that are always made
SIZES = (1, 2, 3, 31, 32, 33, 257)
LAYOUTS = ("contiguous", "transposed", "sliced", "reversed")
DOUBLE = 1e-10  # relative error in float64
FUNCTION = 8  # roundings of an operation beside those of its sum: constants, exp, quotients


# ------------------------------------------------------------ drawing
class Draw:
    """Where an entry takes its shapes, options and numbers from.

    `seed` settles the numbers. `pick` chooses one of several; without it the seed does. `large`
    asks for arrays of about 1 MB, `layouts` for how inputs may lie in memory.
    """

    def __init__(
        self,
        dtype: Any,
        seed: int,
        pick: Callable[[Sequence[Any]], Any] | None = None,
        layouts: Sequence[str] = LAYOUTS,
        large: bool = False,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        self.large = large
        self.layouts = layouts
        self._pick = pick

    def pick(self, options: Sequence[Any]) -> Any:
        if self._pick is not None:
            return self._pick(options)
        return options[int(self.rng.integers(len(options)))]

    def each(self, options: Sequence[Any]) -> Any:
        """As pick, but seeds 0, 1, 2, … take the options in turn, so that none is left out."""
        return self._pick(options) if self._pick is not None else options[self.seed % len(options)]

    # shapes
    def matrix(self) -> tuple[int, int]:
        return (362, 362) if self.large else (self.pick(SIZES), self.pick(SIZES))

    def image(self) -> tuple[int, int, int, int]:
        """(N, C, H, W): one axis of any size, the others small."""
        if self.large:
            return 40, 4, 28, 28
        shape = [self.pick((1, 2, 3, 4)) for _ in range(4)]
        shape[self.pick(range(4))] = self.pick(SIZES)
        return tuple(shape)

    def length(self) -> int:
        return 131072 if self.large else self.pick((*SIZES, 1000, 5000))

    def pair(self, options: Sequence[int]) -> tuple[int, int]:
        return self.pick(options), self.pick(options)

    # inputs
    def array(self, values: Array) -> Array:
        """values, laid out in memory in some way."""
        return laid_out(values, self.pick(self.layouts))

    def normal(self, shape: tuple[int, ...]) -> Array:
        return self.array(self.rng.normal(size=shape).astype(self.dtype))

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> Array:
        return self.array(self.rng.uniform(low, high, shape).astype(self.dtype))

    def away_from_zero(self, shape: tuple[int, ...]) -> Array:
        """Of either sign and at least 0.1 from the kink at 0."""
        sign = self.rng.choice([-1.0, 1.0], shape)
        return self.array((sign * self.rng.uniform(0.1, 3, shape)).astype(self.dtype))

    def integers(self, high: int, shape: tuple[int, ...]) -> Array:
        return self.array(self.rng.integers(high, size=shape))

    def number(self, value: float, dtype: Any = np.float64) -> Array:
        """A quantity that changes from step to step: an array of shape (1,)."""
        return np.array([value], dtype)

    def state(self, values: Array) -> Array:
        """An array that the operation updates in place."""
        return surrounded(values.astype(self.dtype))

    def halves(self, first: Array, second: Array) -> tuple[Array, Array]:
        """The halves of one (N, 2Z) array with these values, or two arrays."""
        if self.pick(("halves", "two")) == "halves":
            both, Z = np.concatenate((first, second), axis=1), first.shape[1]
            return both[:, :Z], both[:, Z:]
        return self.array(first), self.array(second)

    def scale(self) -> float:
        """Of a loss: the random upstream gradient of its value."""
        return float(self.rng.uniform(0.3, 3))

    # outputs
    def out(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """An output full of what must be overwritten."""
        dtype = np.dtype(self.dtype if dtype is None else dtype)
        return surrounded(np.full(shape, np.nan if dtype.kind == "f" else 77, dtype))

    def value(self) -> Array:
        return self.out((1,), np.float64)

    def out_halves(self, N: int, Z: int) -> tuple[Array, Array]:
        """Outputs (N, Z) that are the halves of one array, or two arrays."""
        if self.pick(("halves", "two")) == "halves":
            both = self.out((N, 2 * Z))
            return both[:, :Z], both[:, Z:]
        return self.out((N, Z)), self.out((N, Z))


def laid_out(values: Array, layout: str) -> Array:
    """A view with these values on memory of its own."""
    if layout == "transposed":
        view = np.empty(values.shape[::-1], values.dtype).T
    elif layout == "sliced":
        memory = np.full([2 * n + 1 for n in values.shape], 55, values.dtype)
        view = memory[(slice(1, None, 2),) * values.ndim]
    elif layout == "reversed":
        view = np.empty(values.shape, values.dtype)[(slice(None, None, -1),) * values.ndim]
    else:
        view = np.empty(values.shape, values.dtype)
    view[...] = values
    return view


def surrounded(values: Array) -> Array:
    """A C-contiguous view with these values amid memory that nobody may write."""
    margin = 16
    memory = np.full(values.size + 2 * margin, 55, values.dtype)
    view = memory[margin:-margin].reshape(values.shape)
    view[...] = values
    return view


# ------------------------------------------------------------ calls
@dataclass(frozen=True)
class Call:
    """One call of an operation and the two answers that it is held against.

    arguments: the positional ones, in the order of the contract;  outputs: by keyword, filled with
    what must be overwritten;  options: other keywords;  updated: arguments written in place.
    reference, torch, size: functions of the arguments; they return one array for each of `results`
    (None where there is nothing to compare).  terms: None if nothing is rounded.
    in_place: pairs (output, argument) that may be one array;  optional: outputs that may be None.
    """

    arguments: tuple[Any, ...]
    outputs: dict[str, Array]
    reference: Callable[..., Any]
    torch: Callable[..., Any] | None = None
    size: Callable[..., Any] | None = None
    terms: int | None = 1
    updated: tuple[str, ...] = ()
    in_place: tuple[tuple[str, str], ...] = ()
    optional: tuple[str, ...] = ()
    options: dict[str, Any] | None = None

    @property
    def results(self) -> tuple[str, ...]:
        return (*self.outputs, *self.updated)


Case = Callable[[Draw], Call]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Enters the function into the table under its name."""
    CASES[function.__name__] = function
    return function


def parameters(name: str) -> list[str]:
    """Names of an operation's parameters."""
    return list(inspect.signature(getattr(Backend, name)).parameters)[1:]


# ------------------------------------------------------------ the comparison
def check(ops: Any, name: str, call: Call, dtype: Any) -> None:
    """Runs the call in every way the contract allows; AssertionError where it is not kept."""
    wanted, judged = judges(call)
    arguments = [in_double(a) for a in call.arguments]
    magnitudes = [np.abs(a) if is_float(a) else a for a in arguments]
    size = call.size(*arguments) if call.size else call.reference(*magnitudes)
    sizes = by_result(call, size)
    near = tolerance(dtype, call.terms)
    nearer = near if dtype == np.float64 else 2 * near  # PyTorch may err as far the other way

    for way in ways(call):
        for result, found in run(ops, name, call, *way).items():
            what = f"{name}: {result}{describe(*way)}"
            size = sizes[result]
            assert_close(found, wanted[result], near, size, f"{what} against the reference")
            if result in judged:
                assert_close(found, judged[result], nearer, size, f"{what} against PyTorch")


def tolerance(dtype: Any, terms: int | None) -> float:
    """How far a result may be off, as a fraction of its size."""
    if terms is None:
        return 0.0
    return DOUBLE if dtype == np.float64 else (terms + FUNCTION) * 2.0**-24


def assert_close(found: Array, wanted: Array, near: float, size: Array, what: str) -> None:
    """|found - wanted| <= near · size everywhere; in float64 ‖found - wanted‖ <= near ‖wanted‖."""
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, wanted {wanted.shape}"
    if near == 0:
        error, allowed, wrong = np.abs(found - wanted), np.zeros(found.shape), found != wanted
    else:
        error = np.abs(found.astype(np.float64) - wanted)
        allowed = near * size + np.finfo(found.dtype).tiny
        wrong = ~(error <= allowed)  # so that a NaN is wrong
    if wrong.any():
        i = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}: found {found[i]}, wanted {wanted[i]} at {i}, off by {error[i]:.1e} where "
            f"{allowed[i]:.1e} is allowed; {np.count_nonzero(wrong)} of {wrong.size} are wrong"
        )
    if near == DOUBLE:
        whole = np.linalg.norm(error) / (np.linalg.norm(wanted) or 1.0)
        assert whole <= near, f"{what}: relative error {whole:.1e} as a whole"


def ways(call: Call) -> Iterator[tuple[tuple[str, str] | None, tuple[str, ...]]]:
    """(output and argument that are one array, outputs that are None) for each way to call."""
    yield None, ()
    for pair in call.in_place:
        yield pair, ()
        if call.optional and pair[0] not in call.optional:
            yield pair, call.optional
    if call.optional:
        yield None, call.optional


def describe(in_place: tuple[str, str] | None, left_out: tuple[str, ...]) -> str:
    same = f", {in_place[0]} is {in_place[1]}" if in_place else ""
    return f"{same}, {', '.join(left_out)} is None" if left_out else same


def run(
    ops: Any,
    name: str,
    call: Call,
    in_place: tuple[str, str] | None = None,
    left_out: tuple[str, ...] = (),
) -> dict[str, Array]:
    """What the operation writes, by name; asserts that it writes nothing else."""
    original = {n: a for n, a in arrays_of(name, call).items() if n not in left_out}
    if in_place:
        output, argument = in_place
        original[output] = surrounded(original.pop(argument))
    arrays = clone(original)
    memories = {n: memory(x) for n, x in arrays.items()}
    if in_place:
        arrays[argument] = arrays[output]

    arguments, keywords = filled(name, call, arrays)
    returned = getattr(ops, name)(*arguments, **keywords)
    assert returned is None, f"{name} returned {returned!r}"

    found = {n: arrays[n].copy() for n in call.results if n in arrays}
    for n in found:
        arrays[n][...] = original[n]
    for n, x in original.items():
        same = memories[n].tobytes() == memory(x).tobytes()
        assert same, f"{name} wrote to {n} what it should not{describe(in_place, left_out)}"
    return found


def arrays_of(name: str, call: Call) -> dict[str, Array]:
    """All arrays of the call by the names of their parameters."""
    named = zip(parameters(name), call.arguments, strict=False)
    return {n: a for n, a in named if is_array(a)} | call.outputs


def filled(name: str, call: Call, arrays: dict[str, Array]) -> tuple[list[Any], dict[str, Any]]:
    """The call's arguments and keywords with these arrays; outputs that are not there are None."""
    named = zip(parameters(name), call.arguments, strict=False)
    keywords = {n: arrays.get(n) for n in call.outputs} | (call.options or {})
    return [arrays.get(n, a) for n, a in named], keywords


def clone(arrays: dict[str, Array]) -> dict[str, Array]:
    """Copies that lie in memory as the arrays do; views of one array are so again."""
    copies: dict[int, Array] = {}
    cloned = {}
    for name, x in arrays.items():
        base = memory(x)
        copy = copies.setdefault(id(base), base.copy(order="K"))
        offset = x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        cloned[name] = np.ndarray(x.shape, x.dtype, copy, offset, x.strides)
    return cloned


def memory(x: Array) -> Array:
    """The array that owns the memory of x."""
    return x if x.base is None else x.base


def is_array(a: Any) -> bool:
    return isinstance(a, np.ndarray)


def is_float(a: Any) -> bool:
    return is_array(a) and a.dtype.kind == "f"


def in_double(a: Any) -> Any:
    return a.astype(np.float64) if is_float(a) else a


def tensor(a: Any) -> Any:
    """A tensor with the values of an array, taking gradients if they are real; else a itself."""
    return torch.tensor(a.copy(order="C"), requires_grad=is_float(a)) if is_array(a) else a


def judges(call: Call) -> tuple[dict[str, Array], dict[str, Array]]:
    """What the reference and PyTorch say, by the name of the result."""
    wanted = by_result(call, call.reference(*map(in_double, call.arguments)))
    if call.torch is None:
        return wanted, {}
    return wanted, by_result(call, call.torch(*map(tensor, call.arguments)))


def by_result(call: Call, answer: Any) -> dict[str, Array]:
    answer = answer if isinstance(answer, tuple) else (answer,)
    named = {}
    for name, values in zip(call.results, answer, strict=True):
        if torch.is_tensor(values):
            values = values.detach().numpy()
        if values is not None:
            named[name] = np.atleast_1d(in_double(np.asarray(values)))
    return named


def gradients(f: Callable[..., Any], upstream: Any, *inputs: Any) -> Any:
    """dL/dinput for L = Σ upstream · f(*inputs), by PyTorch: one tensor, or a tuple."""
    leaves = [x if torch.is_tensor(x) else tensor(x) for x in inputs]
    found = torch.autograd.grad(f(*leaves), leaves, upstream.detach())
    return found[0] if len(leaves) == 1 else found
