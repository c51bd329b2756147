"""The GEMM floor of a step: its matrix products alone, on NumPy's BLAS.

A dense layer's products are timed as they are, a convolution's as those of im2col: weights
(K, Q) and columns (Q, N·L) with Q = C/G·KH·KW, for each of its G groups. What a step takes beyond
its floor goes into all else: activations, loss, columns, optimizer, Python.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bench.recording import Call, record_step
from minae.backends import get_backend
from minae.recipes import Recipe


@dataclass(frozen=True)
class Product:
    """out (M, R) = op(a) @ op(b), op(a): (M, Q), op(b): (Q, R), transposed in memory where said."""

    M: int
    Q: int
    R: int
    transpose_a: bool = False
    transpose_b: bool = False

    @property
    def flops(self) -> int:
        return 2 * self.M * self.Q * self.R

    @property
    def nbytes(self) -> int:
        """float32 read and written."""
        return 4 * (self.M * self.Q + self.Q * self.R + self.M * self.R)


def products(call: Call) -> list[Product]:
    """The matrix products that one operation comes down to."""
    match call.name:
        case "matmul":
            M, R = call["out"].shape
            Q = call["a"].shape[0 if call["transpose_a"] else 1]
            return [Product(M, Q, R, call["transpose_a"], call["transpose_b"])]
        case "conv2d_forward":
            K, Q, NL, G = _extents(call["w"], call["out"], call["groups"])
            return G * [Product(K, Q, NL)]
        case "conv2d_input_gradient":
            K, Q, NL, G = _extents(call["w"], call["dy"], call["groups"])
            return G * [Product(Q, K, NL, transpose_a=True)]
        case "conv2d_weight_gradient":
            K, Q, NL, G = _extents(call["out"], call["dy"], call["groups"])
            return G * [Product(K, NL, Q, transpose_b=True)]
    return []


def _extents(w: np.ndarray, y: np.ndarray, groups: int) -> tuple[int, int, int, int]:
    """(K/G, C/G·KH·KW, N·L, G) of weights (K, C/G, KH, KW) and outputs (N, K, OH, OW)."""
    K, C, KH, KW = w.shape
    N, _, OH, OW = y.shape
    return K // groups, C * KH * KW, N * OH * OW, groups


def products_of(recipe: Recipe, batch_size: int) -> list[Product]:
    """The matrix products of one training step, in order."""
    calls = record_step(recipe, get_backend("numpy"), batch_size)
    return [product for call in calls for product in products(call)]


def floor(wanted: Iterable[Product]) -> Callable[[], None]:
    """A step that computes these products, in float32, and nothing else."""
    rng = np.random.default_rng(0)
    triples = []
    for p in wanted:
        a = rng.standard_normal((p.Q, p.M) if p.transpose_a else (p.M, p.Q), np.float32)
        b = rng.standard_normal((p.R, p.Q) if p.transpose_b else (p.Q, p.R), np.float32)
        out = np.empty((p.M, p.R), np.float32)
        triples.append((a.T if p.transpose_a else a, b.T if p.transpose_b else b, out))

    def step() -> None:
        for a, b, out in triples:
            np.matmul(a, b, out=out)

    return step
