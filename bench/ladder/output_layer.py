"""M1's output layer after its matrix product: bias, sigmoid, binary cross-entropy, gradients.

a = x + b, p = σ(a), loss = mean of -(t log p + (1 - t) log(1 - p)); da = ∂loss/∂a, db = Σ da over
samples. x, t: (256, 784);  b: (784,).
"""

import math
from collections.abc import Callable

import numpy as np
from numba import njit, prange

from bench.ladder import Rung
from minae.backends import get_backend
from minae.backends.cpu_numba.vector_math import sigmoid, softplus
from minae.backends.spec import Array

TITLE = "M1's output layer: bias, sigmoid, cross-entropy and gradient, batch 256"
N, D = 256, 784
SCALE = np.float32(1 / (N * D))


def rungs(threads: int) -> list[Rung]:
    """The rungs over one set of numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, (N, D)).astype(np.float32)
    t = np.where(rng.random((N, D)) < 0.8, 0, rng.random((N, D))).astype(np.float32)
    b = rng.normal(0, 0.1, D).astype(np.float32)
    return [
        Rung("NumPy, the formulas as they stand, an array for each step", lambda: naive(x, b, t)),
        Rung("the same with `out=`: nothing is allocated", in_place(x, b, t)),
        Rung("σ and the loss as one on logits: da = σ(a) - t, no quotient", on_logits(x, b, t)),
        Rung("the backend `numpy` as it stands", by_backend("numpy", x, b, t)),
        Rung("one pass in Numba, exp and log1p of the C library", by(_one_pass, x, b, t)),
        Rung("exp and log as polynomials, which vectorize", by(_vectorized, x, b, t)),
        Rung(f"the same on {threads} threads (`parallel=True`)", by(_threaded, x, b, t)),
        Rung("the backend `numba` as it stands", by_backend("numba", x, b, t)),
    ]


def naive(x: Array, b: Array, t: Array) -> tuple[Array, ...]:
    p = 1 / (1 + np.exp(-(x + b)))
    loss = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(dtype=np.float64)
    dp = (p - t) / (p * (1 - p)) / p.size
    da = dp * (p * (1 - p))
    return np.array([loss]), da, da.sum(0)


def in_place(x: Array, b: Array, t: Array) -> Callable[[], tuple[Array, ...]]:
    p, q, log_p, log_q, variance, da = (np.empty_like(x) for _ in range(6))
    rest, db, value = 1 - t, np.empty_like(b), np.empty(1)

    def run() -> tuple[Array, ...]:
        np.add(x, b, out=p)
        np.negative(p, out=p)
        np.exp(p, out=p)
        np.add(p, 1, out=p)
        np.reciprocal(p, out=p)
        np.subtract(1, p, out=q)
        np.log(p, out=log_p)
        np.multiply(log_p, t, out=log_p)
        np.log(q, out=log_q)
        np.multiply(log_q, rest, out=log_q)
        np.add(log_p, log_q, out=log_p)
        value[0] = -log_p.mean(dtype=np.float64)
        np.multiply(p, q, out=variance)
        np.subtract(p, t, out=da)
        np.divide(da, variance, out=da)
        np.multiply(da, SCALE, out=da)
        np.multiply(da, variance, out=da)
        np.sum(da, axis=0, out=db)
        return value, da, db

    return run


def on_logits(x: Array, b: Array, t: Array) -> Callable[[], tuple[Array, ...]]:
    """loss = max(a, 0) - a t + log1p(e), e = exp(-|a|);  σ(a) = (1 if a > 0 else e) / (1 + e)."""
    a, e, terms, da = (np.empty_like(x) for _ in range(4))
    db, value = np.empty_like(b), np.empty(1)

    def run() -> tuple[Array, ...]:
        np.add(x, b, out=a)
        np.abs(a, out=e)
        np.negative(e, out=e)
        np.exp(e, out=e)
        np.minimum(a, 0, out=da)
        np.exp(da, out=da)  # 1 if a > 0 else e
        np.log1p(e, out=terms)
        np.add(e, 1, out=e)
        np.divide(da, e, out=da)
        np.subtract(da, t, out=da)
        np.multiply(da, SCALE, out=da)
        np.maximum(a, 0, out=e)
        np.add(terms, e, out=terms)
        np.multiply(a, t, out=a)
        np.subtract(terms, a, out=terms)
        value[0] = terms.mean(dtype=np.float64)
        np.sum(da, axis=0, out=db)
        return value, da, db

    return run


def by(
    kernel: Callable[..., float], x: Array, b: Array, t: Array
) -> Callable[[], tuple[Array, ...]]:
    da, db, value = np.empty_like(x), np.empty_like(b), np.empty(1)

    def run() -> tuple[Array, ...]:
        value[0] = kernel(x, b, t, SCALE, da, db)
        return value, da, db

    return run


def by_backend(name: str, x: Array, b: Array, t: Array) -> Callable[[], tuple[Array, ...]]:
    ops = get_backend(name)
    a, da, db, value = np.empty_like(x), np.empty_like(x), np.empty_like(b), np.empty(1)

    def run() -> tuple[Array, ...]:
        ops.bias_activation_forward(x, b, "identity", 0.0, out=a)
        ops.bce_with_logits(a, t, float(SCALE), value=value, dlogits=da)
        ops.bias_activation_backward(da, a, "identity", 0.0, dx=da, db=db)
        return value, da, db

    return run


# ------------------------------------------------------------------ kernels
FAST = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}, "cache": True}
BLOCKS = 16  # of samples, which threads take in turn


@njit(**FAST)
def _one_pass(x: Array, b: Array, t: Array, scale: float, da: Array, db: Array) -> float:
    one = np.float32(1)
    total = 0.0
    db[:] = 0
    for n in range(x.shape[0]):
        of_sample = np.float32(0)
        for d in range(x.shape[1]):
            a = x[n, d] + b[d]
            e = math.exp(-abs(a))
            of_sample += max(a, np.float32(0)) - a * t[n, d] + math.log1p(e)
            da[n, d] = scale * ((one if a > 0 else e) / (one + e) - t[n, d])
            db[d] += da[n, d]
        total += of_sample
    return scale * total


@njit(**FAST)
def _vectorized(x: Array, b: Array, t: Array, scale: float, da: Array, db: Array) -> float:
    db[:] = 0
    return scale * _samples(x, b, t, scale, 0, x.shape[0], da, db)


@njit(**FAST)
def _samples(
    x: Array, b: Array, t: Array, scale: float, start: int, stop: int, da: Array, db: Array
) -> float:
    """The sum of the loss over some samples; adds their da to db."""
    total = 0.0
    for n in range(start, stop):
        of_sample = np.float32(0)
        for d in range(x.shape[1]):
            a = x[n, d] + b[d]
            of_sample += softplus(a) - a * t[n, d]
            g = scale * (sigmoid(a) - t[n, d])
            da[n, d] = g
            db[d] += g
        total += of_sample
    return total


@njit(parallel=True, **FAST)
def _threaded(x: Array, b: Array, t: Array, scale: float, da: Array, db: Array) -> float:
    N = x.shape[0]
    parts = np.zeros((BLOCKS, x.shape[1]), np.float32)
    totals = np.zeros(BLOCKS)
    for block in prange(BLOCKS):
        start, stop = block * N // BLOCKS, (block + 1) * N // BLOCKS
        totals[block] = _samples(x, b, t, scale, start, stop, da, parts[block])
    db[:] = 0
    for block in range(BLOCKS):
        for d in range(len(db)):
            db[d] += parts[block, d]
    return scale * totals.sum()
