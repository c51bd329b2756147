"""The matrix products of the bench models on a GPU: own kernels beside cuBLAS.

Each is timed in true float32 by both, and by cuBLAS in TF32 where the card has it; launched one by
one, and REPEATED times in a CUDA graph, as a step has them. The last line printed is the rule of
`minae/backends/gpu_cupy/dense.py`, filled in: the least number of multiplications from which on
cuBLAS was the faster in every product measured, in a graph and in true float32.
"""

import importlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from statistics import median
from typing import Any

import numpy as np

from bench.floor import Product, products
from bench.models import Entry
from bench.recording import record_step
from minae.backends import get_backend

REPEATED = 20  # products in a graph
KINDS = ("nn", "nt", "tn", "tt")  # which operand is transposed

Row = dict[str, Any]
Timer = Callable[[Callable[[], object], int], float]  # (step, steps) -> ms of a step


def measure(
    entries: Sequence[Entry], batch_sizes: Sequence[int], rounds: int, steps: int, timer: Timer
) -> Iterator[Row]:
    """A row for each product that the models' steps ask for; prints a table and the rule."""
    print("\n| product | M | Q | R | own ms | cuBLAS ms | TF32 ms | own / cuBLAS | of |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows: list[Row] = []
    for product, used_by in all_products(entries, batch_sizes).items():
        try:
            rows.append(measure_one(product, rounds, steps, timer) | {"models": used_by})
        except Exception as error:
            yield failure(str(product), error)
            continue
        print(_line(rows[-1]), flush=True)
        yield rows[-1]
    if rows:
        print(f"\nCUBLAS_FROM = {rule(rows)}", flush=True)


def failure(what: str, error: Exception) -> Row:
    """The row of what could not be measured; the error is printed."""
    traceback.print_exception(error)
    said = f"{type(error).__name__}: {error}"
    print(f"{what} failed: {said}", flush=True)
    return {"failed": what, "error": said}


def trying(what: str, measured: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """The rows measured; a failure is one of them, and does not cost the rest of the run."""
    try:
        yield from measured()
    except Exception as error:
        yield failure(what, error)


def all_products(entries: Sequence[Entry], batch_sizes: Sequence[int]) -> dict[Product, list[str]]:
    """The different products of dense layers, and the models and batch sizes that have them."""
    found: dict[Product, list[str]] = {}
    for batch_size in batch_sizes:
        for entry in entries:
            for call in record_step(entry.make(), get_backend("numpy"), batch_size, dry=True):
                for product in products(call) if call.name == "matmul" else ():
                    used_by = found.setdefault(product, [])
                    if f"{entry.label} {batch_size}" not in used_by:
                        used_by.append(f"{entry.label} {batch_size}")
    return dict(sorted(found.items(), key=lambda item: item[0].flops))


def measure_one(product: Product, rounds: int, steps: int, timer: Timer) -> Row:
    """Medians of ms by way; `graph_ms` is that of one product in a graph of REPEATED."""
    M, Q, R = product.M, product.Q, product.R
    row: Row = {
        "product": kind(product),
        **{"M": M, "Q": Q, "R": R},
        "multiplications": M * Q * R,
        "ms": {},
        "graph_ms": {},
    }
    device = importlib.import_module("minae.backends.gpu_cupy.device")
    record = importlib.import_module("minae.backends.gpu_cupy.arrays").record
    rng = np.random.default_rng(0)
    a = rng.standard_normal((Q, M) if product.transpose_a else (M, Q), np.float32)
    b = rng.standard_normal((R, Q) if product.transpose_b else (Q, R), np.float32)
    x, y, out = device.from_host(a), device.from_host(b), device.empty((M, R), np.float32)
    for way, (matmul, allowed) in ways().items():

        def once(matmul: Callable[..., None] = matmul) -> None:
            matmul(x, y, out=out, transpose_a=product.transpose_a, transpose_b=product.transpose_b)

        def many(once: Callable[[], None] = once) -> None:
            for _ in range(REPEATED):
                once()

        with allowed():
            once()  # compiles, makes handles and scratch space
            replay = record(many)
            replay()
            eager, graph = [], []
            for _ in range(rounds):
                eager.append(timer(once, steps))
                graph.append(timer(replay, -(-steps // REPEATED)) / REPEATED)
        row["ms"][way], row["graph_ms"][way] = median(eager), median(graph)
    return row


def ways() -> dict[str, tuple[Callable[..., None], Callable[[], Any]]]:
    """(product, what is to be entered around it) by way."""
    blas = importlib.import_module("minae.backends.gpu_cupy.blas")
    dense = importlib.import_module("minae.backends.gpu_cupy.dense")
    device = importlib.import_module("minae.backends.gpu_cupy.device")

    @contextmanager
    def tf32(allowed: bool) -> Any:
        before = blas.tf32
        blas.set_tf32(allowed)
        try:
            yield
        finally:
            blas.set_tf32(before)

    found = {
        "own": (dense.tiled_matmul, lambda: tf32(False)),
        "cublas": (blas.matmul, lambda: tf32(False)),
    }
    if device.compute_capability() >= blas.TF32_FROM:
        found["tf32"] = (blas.matmul, lambda: tf32(True))
    return found


def kind(product: Product) -> str:
    return f"{'nt'[product.transpose_a]}{'nt'[product.transpose_b]}"


def rule(rows: Sequence[Row]) -> dict[str, float]:
    """By kind the least number of multiplications from which on cuBLAS was always the faster."""
    found = dict.fromkeys(KINDS, inf)
    for name in KINDS:
        of_kind = [row for row in rows if row["product"] == name]
        for row in sorted(of_kind, key=lambda row: row["multiplications"], reverse=True):
            if row["graph_ms"]["cublas"] >= row["graph_ms"]["own"]:
                break
            found[name] = row["multiplications"]
    return found


def _line(row: Row) -> str:
    ms = row["graph_ms"]
    tf32 = f"{ms['tf32']:.5f}" if "tf32" in ms else "-"
    return (
        f"| {row['product']} | {row['M']} | {row['Q']} | {row['R']} | {ms['own']:.5f} "
        f"| {ms['cublas']:.5f} | {tf32} | {ms['own'] / ms['cublas']:.2f} "
        f"| {', '.join(row['models'])} |"
    )
