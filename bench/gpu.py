"""minae beside PyTorch on this GPU, in one run.

    python -m bench.gpu [--models vae] [--batch-sizes 256,16384] [--json FILE] ...

has three parts. `m6` trains M6 for its 20 000 steps. `products` times the matrix products of these
models by own kernels and by cuBLAS (gpu_products.py). `steps` alternates minae (its step as one
CUDA graph, and launched kernel by kernel) with PyTorch's eager mode, fused Adam, CUDA graphs and
torch.compile, after a check that all compute the same loss. Times are those of CUDA events; the
floor of a step is the larger of its products at the measured rate of a large product and its bytes
at the measured bandwidth of a copy. What fails is said, and the rest goes on.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench import gpu_products
from bench.contest import TOLERANCE, first_loss
from bench.floor import products
from bench.gpu_products import Row, failure, trying
from bench.models import MODELS, Entry, choose, mnist, training
from bench.recording import record_step
from minae.backends import get_backend
from minae.backends.spec import Backend
from minae.errors import MinaeError
from minae.recipes import Recipe

BATCH_SIZES = (256, 16384)
OURS = ("minae graph", "minae eager")
COPIED = 2**30  # bytes
SIDE = 8192  # of the large product
PARTS = ("m6", "products", "steps")
M6_STEPS = 20_000
TURN_MS = 200  # a turn has fewer steps than asked for where these would take longer
DEVICE = "cuda"  # of PyTorch


class Eager:
    """A backend whose steps are not recorded."""

    def __init__(self, ops: Backend) -> None:
        self.ops = ops

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ops, name)

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        run()
        return run


@dataclass(frozen=True)
class Contender:
    """Something that makes steps, and how their time is taken on its stream."""

    name: str
    step: Callable[[], object]
    milliseconds: Callable[[Callable[[], object], int], float]


@dataclass(frozen=True)
class Roofline:
    """What this card reaches: bytes a second of a copy, operations a second of a product."""

    bandwidth: float
    rate: float

    def floor_ms(self, flops: int, nbytes: int) -> float:
        return 1e3 * max(flops / self.rate, nbytes / self.bandwidth)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description="Time a training step of minae beside PyTorch's on a GPU, in one run.",
        allow_abbrev=False,
    )
    p.add_argument("--models", metavar="A,B", help="which models (default: all)")
    p.add_argument("--batch-sizes", type=_sizes, default=BATCH_SIZES, metavar="N,N")
    p.add_argument("--parts", type=_parts, default=PARTS, metavar="A,B", help="(default: all)")
    p.add_argument("--rounds", type=_whole, default=7, metavar="N", help="turns of each")
    p.add_argument("--steps", type=_whole, default=200, metavar="N", help="of a turn, at most")
    p.add_argument("--rivals", metavar="A,B", help="of eager, fused, graph, compile (default: all)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the rows, with the card's name")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 1 if something failed, or 2 for what the user can
    mend."""
    options = parser().parse_args(arguments)
    try:
        rows = contest(options)
    except MinaeError as error:
        print(f"minae: {error}", file=sys.stderr)
        return 2
    failed = [row["failed"] for row in rows if "failed" in row]
    if failed:
        print(f"\nfailed: {'; '.join(failed)}")
    return 1 if failed else 0


def contest(options: argparse.Namespace) -> list[Row]:
    """All parts asked for: prints a table of each, and writes the rows, if asked, as they come."""
    rows: list[Row] = []
    ops = get_backend("cupy")
    for row in _measured(ops, choose(options.models), options):
        rows.append({"card": ops.device_name(), **row})
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def _measured(ops: Backend, entries: list[Entry], options: argparse.Namespace) -> Iterator[Row]:
    rivals = _rivals(options.rivals) if "steps" in options.parts else []
    if "m6" in options.parts:
        yield from trying("M6", lambda: [train_m6(ops, MODELS["deep"].make())])
    if "products" in options.parts:
        yield from gpu_products.measure(
            entries, options.batch_sizes, options.rounds, options.steps, milliseconds
        )
    if "steps" in options.parts:
        yield from trying("steps", lambda: compare_steps(ops, entries, rivals, options))


def train_m6(ops: Backend, recipe: Recipe) -> Row:
    """M6's steps after the first three, shuffles and the wait at the end included."""
    recipe.model.bind(ops, np.float32, recipe.seed)
    run = training(recipe, *mnist(recipe.batch_size), recipe.batch_size)
    for _ in range(3):
        run.step()  # compiles and records
    run.loss()
    begin = time.perf_counter()
    for _ in range(M6_STEPS):
        run.step()
    loss = run.loss()
    seconds = time.perf_counter() - begin
    print(f"\nM6: {M6_STEPS:,} steps in {seconds:.2f} s, loss {loss:.6g}", flush=True)
    return {"training": "M6", "steps": M6_STEPS, "seconds": seconds, "loss": loss}


def compare_steps(
    ops: Backend, entries: list[Entry], rivals: list[str], options: argparse.Namespace
) -> Iterator[Row]:
    """All models at all batch sizes."""
    roofline = measure_roofline()
    print(
        f"\n{ops.device_name()}: {roofline.bandwidth / 1e9:,.0f} GB/s copied, "
        f"{roofline.rate / 1e12:.1f} Tflop/s"
    )
    print(
        "\n| model | batch | minae ms | eager ms | rival | its ms | ratio | to eager | floor ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for entry in entries:
        for batch_size in options.batch_sizes:
            yield from trying(
                f"{entry.label} {batch_size}",
                partial(measure, ops, entry, batch_size, rivals, options, roofline),
            )


def measure(
    ops: Backend,
    entry: Entry,
    batch_size: int,
    rivals: list[str],
    options: argparse.Namespace,
    roofline: Roofline,
) -> list[Row]:
    """A row for each rival, the fastest first; the line of the fastest is printed. A rival that
    cannot be made has a row that says why."""
    check_losses(ops, entry, min(batch_size, 256))
    everyone = ours(ops, entry, batch_size)
    failed: list[Row] = []
    for name in rivals:
        try:
            everyone.append(theirs(name, entry, batch_size, DEVICE))
        except Exception as error:
            failed.append(failure(f"{entry.label} {batch_size} {name}", error))
    turns: dict[str, list[float]] = {one.name: [] for one in everyone}
    for _ in range(options.rounds):
        for one in everyone:
            # after the others' memory has been through the cache
            once = one.milliseconds(one.step, 3)
            steps = min(options.steps, max(3, int(TURN_MS / max(once, 1e-3))))
            turns[one.name].append(one.milliseconds(one.step, steps))
    ms = {name: median(times) for name, times in turns.items()}
    calls = record_step(entry.make(), get_backend("numpy"), batch_size, dry=True)
    flops = sum(product.flops for call in calls for product in products(call))
    floor = roofline.floor_ms(flops, sum(call.nbytes for call in calls))
    own = {
        "model": entry.label,
        "system": entry.system,
        "batch_size": batch_size,
        "backend": "cupy",
        "ms": ms[OURS[0]],
        "eager_ms": ms[OURS[1]],
        "floor_ms": floor,
        "bandwidth": roofline.bandwidth,
        "gemm_rate": roofline.rate,
    }
    ranked = sorted((name for name in ms if name not in OURS), key=ms.__getitem__)
    rows = [
        own
        | {
            "rival": rival,
            "best_rival": rival == ranked[0],
            "rival_ms": ms[rival],
            "ratio": ms[rival] / ms[OURS[0]],
            "ratio_range": _range(turns[rival], turns[OURS[0]]),
        }
        for rival in ranked
    ]
    best = f"{ranked[0]} | {ms[ranked[0]]:.4f} | {rows[0]['ratio']:.2f}" if rows else "- | - | -"
    to_eager = f"{ms['eager'] / ms[OURS[0]]:.2f}" if "eager" in ms else "-"
    print(
        f"| {entry.system} {entry.label} | {batch_size} | {ms[OURS[0]]:.4f} | {ms[OURS[1]]:.4f} "
        f"| {best} | {to_eager} | {floor:.4f} |",
        flush=True,
    )
    return (rows or [own]) + failed


def _range(theirs: list[float], ours: list[float]) -> list[float]:
    """Least and greatest ratio within one round."""
    ratios = [t / o for t, o in zip(theirs, ours, strict=True)]
    return [min(ratios), max(ratios)]


def ours(ops: Backend, entry: Entry, batch_size: int) -> list[Contender]:
    """minae with and without a graph, each after its first steps."""
    everyone = []
    for name, backend in zip(OURS, (ops, Eager(ops)), strict=True):
        recipe = entry.make()
        recipe.model.bind(backend, np.float32, recipe.seed)
        run = training(recipe, *mnist(batch_size), batch_size)
        everyone.append(_begun(Contender(name, run.step, milliseconds)))
    return everyone


def theirs(name: str, entry: Entry, batch_size: int, device: str) -> Contender:
    """PyTorch in one of its modes, after its first steps."""
    from bench import rivals_cuda

    recipe = entry.make()
    recipe.model.bind("numpy", np.float32, recipe.seed)
    run = rivals_cuda.CudaTraining(
        recipe.model,
        recipe.optimizer,
        *mnist(batch_size),
        batch_size=batch_size,
        device=device,
        **rivals_cuda.MODES[name],
    )
    return _begun(Contender(name, run.step, rivals_cuda.milliseconds))


def _begun(one: Contender) -> Contender:
    one.milliseconds(one.step, 3)  # and waits for them, whatever stream they are on
    return one


def check_losses(ops: Backend, entry: Entry, samples: int) -> None:
    """The loss of a first batch in float32 is that of PyTorch; MinaeError if not."""
    from bench.rivals import twin_loss

    images, labels = (a[:samples] for a in mnist(samples))
    recipe, judge = entry.make(), entry.make()
    recipe.model.bind(ops, np.float32, recipe.seed)
    judge.model.bind("numpy", np.float32, recipe.seed)
    found, eps = first_loss(recipe.model, images, labels)
    wanted = twin_loss(judge.model, images, labels, eps)
    if not abs(found - wanted) <= TOLERANCE * abs(wanted):
        raise MinaeError(
            f"{entry.label}: minae computes a loss of {found:.9g} where PyTorch computes "
            f"{wanted:.9g}; nothing was timed"
        )


def milliseconds(step: Callable[[], object], steps: int) -> float:
    """Time of a step of minae's by CUDA events around so many."""
    device = importlib.import_module("minae.backends.gpu_cupy.device")
    return device.milliseconds(step, steps)  # type: ignore[no-any-return]


def measure_roofline() -> Roofline:
    """By PyTorch's copy of 1 GiB, read and written, and its float32 product of 8192³."""
    import torch

    from bench import rivals_cuda

    x, y = torch.zeros(2, COPIED // 4, device="cuda")
    a = torch.randn(SIDE, SIDE, device="cuda")
    for warm_up in (lambda: y.copy_(x), lambda: torch.matmul(a, a)):
        warm_up()
    copied = rivals_cuda.milliseconds(lambda: y.copy_(x), 20)
    multiplied = rivals_cuda.milliseconds(lambda: torch.matmul(a, a), 10)
    return Roofline(2e3 * COPIED / copied, 2e3 * SIDE**3 / multiplied)


def _rivals(names: str | None) -> list[str]:
    """PyTorch's modes of these names; MinaeError if there is no PyTorch for this GPU."""
    try:
        import torch

        from bench import rivals_cuda
    except ModuleNotFoundError as error:
        raise MinaeError(
            f"bench.gpu needs PyTorch, its rival: pip install torch ({error})"
        ) from None
    known = [*rivals_cuda.MODES]
    chosen = known if names is None else names.split(",")
    for name in chosen:
        if name not in known:
            raise MinaeError(f"unknown rival {name!r}; choose among {', '.join(known)}")
    if not torch.cuda.is_available():
        raise MinaeError("this PyTorch finds no GPU: install its CUDA build (pytorch.org)")
    return chosen


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _parts(text: str) -> tuple[str, ...]:
    odd = [part for part in text.split(",") if part not in PARTS]
    if odd:
        raise argparse.ArgumentTypeError(f"{odd[0]!r} is none of {', '.join(PARTS)}")
    return tuple(text.split(","))


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_whole(size) for size in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
