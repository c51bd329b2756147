"""The case table: one entry for each operation, and the one comparison that every test uses.

An entry draws the arguments of one call and names two judges: the function of the same name in
`reference/`, which is given the same numbers in float64, and PyTorch, given them in their dtype,
whose gradients come from torch.autograd.grad with a random upstream gradient. `check` runs the
call, in every way the contract allows, and holds what it wrote against both.

How far a result may be off. `terms` is the number of terms that are summed in one element and
`size` the sum of their magnitudes, so that (Higham, Accuracy and Stability, 3.1) a sum in float32
is good to terms · 2⁻²⁴ · size. A size is the reference at the magnitudes of its arguments, unless
the entry says it by a formula. In float64 1e-10 is asked for, of each element and of the whole.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from minae.backends.spec import ACTIVATIONS, OPERATIONS, Array, Backend
from reference.pooling import output_size

FILES = (
    *("dense", "activations", "conv2d", "class_bias", "pooling", "batch_norm", "dropout"),
    *("losses", "gaussian_kl", "softmax_cross_entropy", "reparameterization"),
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
BACKENDS = ("numpy", "numba")
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
def one_hot(d: Draw) -> Call:
    N, classes = d.matrix()
    return Call(
        (d.integers(classes, (N,)),),
        {"out": d.out((N, classes))},
        lambda labels: ref.one_hot(labels, classes),
        lambda labels: F.one_hot(labels, classes),
        terms=None,
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
