"""M1's output layer with its three matrix products: forward, loss, and all gradients.

y = x wᵀ + b, the binary cross-entropy of σ(y) and t, dx, dw, db. x: (256, 32);  w: (784, 32);
b: (784,);  t: (256, 784).
"""

from collections.abc import Callable

import numpy as np

from bench.ladder import Rung
from minae.backends import get_backend
from minae.backends.cpu_numba.fusion import plain_calls
from minae.backends.cpu_numba.losses import bce_with_logits
from minae.backends.cpu_numba.output_layer import output_layer
from minae.backends.spec import Array

TITLE = "M1's output layer with its three products, batch 256"
N, K, D = 256, 32, 784


def rungs(threads: int) -> list[Rung]:
    """The rungs over one set of numbers."""
    rng = np.random.default_rng(0)
    empty = get_backend("numba").empty

    def normal(*shape: int) -> Array:
        x = empty(shape, np.float32)
        x[:] = rng.normal(0, 0.3, shape)
        return x

    x, w, b, t = normal(N, K), normal(D, K), normal(D), normal(N, D)
    np.clip(t, 0, 1, out=t)
    given = {"x": x, "w": w, "b": b, "activation": "identity", "t": t, "scale": 1 / (N * D)}
    return [
        Rung("six operations of the backend `numpy`", operations("numpy", given)),
        Rung("six operations of the backend `numba`", operations("numba", given)),
        Rung("one kernel, as a recorded step runs it", in_one(given)),
    ]


def written() -> dict[str, Array]:
    """Arrays for the loss and the gradients."""
    empty = get_backend("numba").empty
    arrays = {"dx": empty((N, K), np.float32), "dw": empty((D, K), np.float32)}
    return {"value": np.empty(1)} | arrays | {"db": empty((D,), np.float32)}


def operations(backend: str, given: dict[str, object]) -> Callable[[], tuple[Array, ...]]:
    """What a layer and a loss call, one by one."""
    ops, results = get_backend(backend), written()
    y, dy = (ops.empty((N, D), np.float32) for _ in range(2))
    left_out = {"y": y, "dy": dy, "da": dy}
    calls = plain_calls(**given, slope=0.0, loss=bce_with_logits, **left_out, **results)  # type: ignore[arg-type]

    def run() -> tuple[Array, ...]:
        for function, arguments in calls:
            getattr(ops, function.__name__)(**arguments)
        return tuple(results.values())

    return run


def in_one(given: dict[str, object]) -> Callable[[], tuple[Array, ...]]:
    results = written()

    def run() -> tuple[Array, ...]:
        output_layer(**given, loss="bce_with_logits", **results)  # type: ignore[arg-type]
        return tuple(results.values())

    return run
