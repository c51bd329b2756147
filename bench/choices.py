"""What the rules of the numba backend choose between, each way timed: the measurements behind them.

    python -m bench.cpu --choices

The rules: `sparse.sparse_pays`, `fusion._pays`, `dense.tiles_pay`, `conv2d_channels.fill` and
`forward_pays`, and `conv2d._patch`; last what is always taken, a program, beside its plain form.
Every way is checked against the one that is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.models import MODELS, mnist, training
from bench.timing import Contender, alternate
from minae.backends import get_backend
from minae.backends.cpu_numba import conv2d, conv2d_channels, dense, fusion
from minae.backends.cpu_numba.fusion import plain_calls
from minae.backends.cpu_numba.losses import bce_with_logits
from minae.backends.cpu_numba.output_layer import output_layer
from minae.backends.cpu_numba.program import Program
from minae.backends.spec import Array, Pair
from minae.errors import MinaeError
from minae.layers.layer import Strips

TURN, SETTLE, ROUNDS = 0.03, 0.1, 5  # BLAS's threads spin so long after a product by columns
D = 784

# C, H = W, K, kernel, stride, padding: convolutions of the recipes, and some between
CONVOLUTIONS = [
    *((1, 28, 8, 3, 1, 1), (1, 28, 16, 3, 2, 1), (1, 28, 16, 6, 2, 0), (1, 28, 16, 6, 3, 4)),
    *((1, 28, 16, 4, 2, 1), (3, 32, 12, 4, 2, 1), (8, 14, 4, 3, 1, 1), (8, 14, 16, 3, 1, 1)),
    *((16, 14, 32, 3, 2, 1), (16, 12, 32, 4, 2, 0), (16, 11, 32, 4, 3, 1), (32, 5, 64, 2, 2, 0)),
]


@dataclass
class Choice:
    """One shape: ways by name, each a call that returns its result, and the name of the rule's."""

    shape: str
    ways: dict[str, Callable[[], Array]]
    taken: str


def run(threads: int, rounds: int = ROUNDS, turn: float = TURN) -> None:
    """Print a table for each rule, microseconds of each way; the one taken stands in bold."""
    get_backend("numba").set_threads(threads)
    for title, choices in RULES.items():
        print(f"### {title}\n")
        for i, choice in enumerate(choices()):
            if i == 0:
                print(f"| of | {' | '.join(choice.ways)} |\n|---|{len(choice.ways) * '---:|'}")
            us = microseconds(choice, threads, rounds, turn)
            cells = [f"**{t:.0f}**" if way == choice.taken else f"{t:.0f}" for way, t in us.items()]
            print(f"| {choice.shape} | {' | '.join(cells)} |", flush=True)
        print()


def microseconds(choice: Choice, threads: int, rounds: int, turn: float) -> dict[str, float]:
    """Median time of each way, after a check that all come to the same."""
    wanted = choice.ways[choice.taken]().copy()
    for name, way in choice.ways.items():
        if name != choice.taken and not np.abs(way() - wanted).max() <= 1e-4 * np.abs(wanted).max():
            raise MinaeError(f"{choice.shape}: {name!r} computes something else than is taken")
    contenders = [
        Contender(name, way, get_backend("numpy" if name == IM2COL else "numba").set_threads)
        for name, way in choice.ways.items()
    ]
    timing = alternate(contenders, threads=threads, rounds=rounds, turn=turn, settle=SETTLE)
    return {name: 1e3 * timing.ms(name) for name in choice.ways}


def normal(*shape: int) -> Array:
    """Random numbers that begin at a cache line, as those of a layer do."""
    x: Array = get_backend("numba").empty(shape, np.float32)
    x[:] = np.random.default_rng(0).normal(0, 0.3, shape)
    return x


# ------------------------------------------------------------------ strips of zeros
def strips_or_all() -> Iterator[Choice]:
    """MNIST's rows, in another order at each call, since lists of one batch can be learned."""
    ops: Any = get_backend("numba")
    images = mnist(10_000)[0].reshape(-1, D)
    strips = Strips.of(ops, images)
    rng = np.random.default_rng(0)
    for N, K in (
        *((32, 128), (64, 64), (64, 400), (128, 30), (128, 128), (128, 400), (256, 30), (256, 128)),
        *((256, 400), (256, 1000), (4096, 30), (4096, 400)),
    ):
        orders = [rng.permutation(len(images))[:N].astype(np.int64) for _ in range(16)]
        batches = [(rows, images[rows].astype(np.float32) / 255) for rows in orders]
        w, dy = normal(K, D), normal(N, K)
        for operation, out in (("forward", normal(N, K)), ("gradient", normal(K, D))):
            dense, sparse = _dense_and_sparse(ops, operation, strips.bits, w, dy, out)
            name = "sparse_matmul" if operation == "forward" else "sparse_weight_gradient"
            pays = ops.sparse_pays(name, N, K, strips.density)
            ways = {"all": _in_turn(dense, batches, out), "strips": _in_turn(sparse, batches, out)}
            yield Choice(f"{operation}, {N}×{D} to {K}", ways, "strips" if pays else "all")


def _dense_and_sparse(
    ops: Any, operation: str, bits: Array, w: Array, dy: Array, out: Array
) -> tuple[Callable[[Array, Array], None], Callable[[Array, Array], None]]:
    """Both ways of a product, functions of (rows, x)."""
    if operation == "forward":
        return (
            lambda rows, x: ops.matmul(x, w, out=out, transpose_b=True),
            lambda rows, x: ops.sparse_matmul(bits, rows, x, w, out=out),
        )
    return (
        lambda rows, x: ops.matmul(dy, x, out=out, transpose_a=True),
        lambda rows, x: ops.sparse_weight_gradient(bits, rows, x, dy, out=out),
    )


def _in_turn(
    product: Callable[[Array, Array], None], batches: list[tuple[Array, Array]], out: Array
) -> Callable[[], Array]:
    """The product of one batch after another, from the first one on."""
    calls = 0

    def step() -> Array:
        nonlocal calls
        product(*batches[calls % len(batches)])
        calls += 1
        return out

    return step


# ------------------------------------------------------------------ the output layer
def six_calls_or_one() -> Iterator[Choice]:
    """BCE on D logits of N samples with K features, forward, loss and all gradients."""
    for N in (32, 256, 4096):
        for K in (32, 128, 256, 400, 1000) if N < 4096 else (32, 128, 256, 400):
            x, w, b, t = normal(N, K), normal(D, K), normal(D), np.abs(normal(N, D))
            given: Any = {"x": x, "w": w, "b": b, "activation": "identity", "t": t}
            given |= {"scale": 1 / (N * D), "value": np.empty(1), "dx": normal(N, K)}
            given |= {"dw": normal(D, K), "db": normal(D)}
            y, dy = normal(N, D), normal(N, D)
            six = plain_calls(**given, slope=0.0, loss=bce_with_logits, y=y, dy=dy, da=dy)
            ways = {
                "six calls": lambda six=six: _all_of(six),
                "one kernel": lambda given=given: _one(given),
            }
            taken = "one kernel" if fusion._pays(N, K) else "six calls"
            yield Choice(f"{N}×{K} to {D}", ways, taken)


def _all_of(calls: list[fusion.Call]) -> Array:
    _do(calls)
    dx: Array = calls[-1][1]["out"]
    return dx


def _one(given: dict[str, Any]) -> Array:
    output_layer(**given, loss="bce_with_logits")
    dx: Array = given["dx"]
    return dx


# ------------------------------------------------------------------ matrix products
# features, outputs: with less than two vectors of columns there would be nothing to choose
LAYERS = [(128, 64), (1568, 32), (32, 1568), (256, 100), (64, 256), (256, 512), (1000, 500)]


def blas_or_tiles() -> Iterator[Choice]:
    """The three products of a layer."""
    for N in (32, 256, 4096):
        for D, K in LAYERS if N < 4096 else LAYERS[:-1]:
            x, w, y = normal(N, D), normal(K, D), normal(N, K)
            dx, dw = normal(N, D), normal(K, D)
            for name, a, b, turned, out in (
                ("y = x wᵀ", x, w, (False, True), y),
                ("dw = dyᵀ x", y, x, (True, False), dw),
                ("dx = dy w", y, w, (False, False), dx),
            ):
                terms = N if turned[0] else a.shape[1]
                pay = dense.tiles_pay(*out.shape, terms, *turned, out)
                ways = {
                    way: _product(a, b, turned, out, tiles=way == "tiles")
                    for way in ("BLAS", "tiles")
                }
                yield Choice(f"{name}, {N}, {D} to {K}", ways, "tiles" if pay else "BLAS")


def _product(
    a: Array, b: Array, turned: tuple[bool, bool], out: Array, *, tiles: bool
) -> Callable[[], Array]:
    """The product, with the answer of its rule as it is given."""
    rule = dense.tiles_pay

    def step() -> Array:
        dense.tiles_pay = lambda *shape: tiles
        try:
            dense.matmul(a, b, out=out, transpose_a=turned[0], transpose_b=turned[1])
        finally:
            dense.tiles_pay = rule
        return out

    return step


# ------------------------------------------------------------------ convolutions
IM2COL = "im2col and BLAS"


def ways_of_convolution() -> Iterator[Choice]:
    """By vectors of samples, of channels, and by columns; the gradient in x in patches or not."""
    for N in (32, 256):
        for C, H, K, kernel, stride, padding in CONVOLUTIONS:
            L = (H + 2 * padding - kernel) // stride + 1
            x, w, y = normal(N, C, H, H), normal(K, C, kernel, kernel), normal(N, K, L, L)
            numbers = (stride, stride), (padding, padding), (1, 1), 1
            shape = f"{N}, {C}×{H}² to {K}×{L}², k{kernel} s{stride} p{padding}"
            fill, forward_pays = conv2d_channels.fill(K, x), conv2d_channels.forward_pays(w, 1, x)
            dw = normal(*w.shape)
            for operation, given, out, by_channels in (
                ("conv2d_forward", (x, w), y, forward_pays),
                ("conv2d_weight_gradient", (x, y), dw, fill),
            ):
                ways = {
                    name: _convolution(operation, given, numbers, out, fill=name == "channels")
                    for name in ("samples", "channels")
                }
                ways[IM2COL] = _convolution(operation, given, numbers, out, backend="numpy")
                taken = "channels" if by_channels else "samples"
                yield Choice(f"{operation.removeprefix('conv2d_')}, {shape}", ways, taken)


def ways_of_input_gradient() -> Iterator[Choice]:
    """Where the stride divides the kernel."""
    for N in (32, 256):
        for C, H, K, kernel, stride, padding in CONVOLUTIONS:
            if conv2d._patch((kernel, kernel), (stride, stride), (1, 1)) == (1, 1):
                continue  # nothing to choose
            L = (H + 2 * padding - kernel) // stride + 1
            dx, w, dy = normal(N, C, H, H), normal(K, C, kernel, kernel), normal(N, K, L, L)
            strides: Pair = (stride, stride)
            numbers = strides, (padding, padding), (1, 1), 1
            operation = "conv2d_input_gradient"
            ways = {
                "place by place": _convolution(operation, (dy, w), numbers, dx, patch=(1, 1)),
                "patches": _convolution(operation, (dy, w), numbers, dx),
                IM2COL: _convolution(operation, (dy, w), numbers, dx, backend="numpy"),
            }
            shape = f"{N}, {C}×{H}² of {K}×{L}², k{kernel} s{stride} p{padding}"
            yield Choice(shape, ways, "patches")


def _convolution(
    operation: str,
    given: tuple[Array, Array],
    numbers: tuple[Any, ...],
    out: Array,
    backend: str = "numba",
    *,
    fill: bool | None = None,
    patch: Pair | None = None,
) -> Callable[[], Array]:
    """The operation, with the answers of its rules as they are given."""
    function = getattr(get_backend(backend), operation)
    rules = (conv2d_channels.fill, conv2d_channels.forward_pays, conv2d._patch)

    def step() -> Array:
        if fill is not None:
            conv2d_channels.fill = lambda channels, x: fill
            conv2d_channels.forward_pays = lambda w, groups, x: fill
        if patch is not None:
            conv2d._patch = lambda kernel, stride, dilation: patch
        try:
            function(*given, *numbers, out=out)
        finally:
            conv2d_channels.fill, conv2d_channels.forward_pays, conv2d._patch = rules
        return out

    return step


# ------------------------------------------------------------------ a step's kernels
def calls_or_program() -> Iterator[Choice]:
    """Forward and backward of a recorded step, without the update, so that it can be repeated."""
    for label in ("vanilla", "vae", "conv", "cvae"):
        for N in (32, 256):
            recipe = MODELS[label].make()
            recipe.model.bind("numba", np.float32, recipe.seed)
            step = training(recipe, *mnist(N), N).step()
            calls = [call for call in step.replay.calls if call[0].__name__ not in ("adam", "add")]
            program, gradients = Program(calls), recipe.model.parameters.gradients
            ways = {
                "call by call": partial(_gradients, partial(_do, calls), gradients),
                "a program": partial(_gradients, program, gradients),
            }
            yield Choice(f"{label}, {N}", ways, "a program")


def _do(calls: list[fusion.Call]) -> None:
    for function, arguments in calls:
        function(**arguments)


def _gradients(run: Callable[[], None], gradients: Array) -> Array:
    run()
    return gradients


RULES: dict[str, Callable[[], Iterator[Choice]]] = {
    "First layer: all pixels, or strips of eight that are not black (`sparse.sparse_pays`)": (
        strips_or_all
    ),
    "Output layer: six operations or one kernel (`fusion._pays`)": six_calls_or_one,
    "Matrix product: BLAS or tiles (`dense.tiles_pay`)": blas_or_tiles,
    "Convolution: vectors of samples or of channels (`conv2d_channels.forward_pays`, `fill`)": (
        ways_of_convolution
    ),
    "Its gradient in x: place by place or in patches (`conv2d._patch`)": ways_of_input_gradient,
    "A recorded step, forward and backward: call by call or as a program": calls_or_program,
}
