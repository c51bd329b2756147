"""The work of a training step, counted: what does not depend on how busy the machine is.

    python -m bench.work            compares with bench/work.json
    python -m bench.work --write    writes it, after a change that is meant

For a step of each recipe, at a batch of 256 and one thread, on each CPU backend:
- operations: calls of the contract's operations, and bytes of the arrays they are given;
- FLOP of the matrix products;
- passes: NumPy functions and kernels that the backend runs for them, bytes of their arrays, and of
  the memory in which these lie;
- the most bytes that the step allocates at one time, which is held to a limit.
And the kernels that all recipes together start, once for each of the types they are compiled for.
"""

import argparse
import json
import sys
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.floor import products
from bench.models import BACKENDS, MODELS, striped, training
from bench.passes import Passes, counted
from bench.recording import record_step
from minae import recipes
from minae.backends import get_backend

FILE = Path(__file__).with_name("work.json")
BATCH_SIZE = 256
ALLOCATED = 32 * 1024  # bytes: more is an array, not a few views and tuples
UNITS = {
    "operations": "calls of operations",
    "bytes": "bytes read and written by operations",
    "flops": "FLOP in matrix products",
    "passes": "passes over memory",
    "pass_bytes": "bytes in passes over memory",
    "memory": "bytes of memory",
}

Work = dict[str, Any]


NAMES = tuple(dict.fromkeys(entry.recipe for entry in MODELS.values()))  # what is measured


def count(names: tuple[str, ...] = NAMES) -> Work:
    """The work of each recipe on each backend, and the kernels that all of them need."""
    steps: dict[str, Work] = {}
    signatures: defaultdict[str, set[Any]] = defaultdict(set)
    for name in names:
        for backend in BACKENDS:
            get_backend(backend).set_threads(1)
            steps[f"{name}, {backend}"], passes = step_work(name, backend)
            for kernel, types in passes.signatures.items():
                signatures[kernel] |= types
    kernels = {kernel: len(types) for kernel, types in sorted(signatures.items())}
    return {"steps": steps, "kernels": kernels}


def step_work(name: str, backend: str) -> tuple[Work, Passes]:
    """The work of one step, each kind by name, and bytes allocated; and its passes."""
    operations, nbytes, flops = Counter[str](), Counter[str](), Counter[str]()
    for call in record_step(recipes.make(name), get_backend(backend), BATCH_SIZE):
        operations[call.name] += 1
        nbytes[call.name] += call.nbytes
        flops[call.name] += sum(product.flops for product in products(call))
    passes, allocated = inner_work(name, backend)
    counters = (operations, nbytes, +flops, passes.calls, passes.bytes, passes.memory)
    kinds = {k: dict(sorted(c.items())) for k, c in zip(UNITS, counters, strict=True)}
    return kinds | {"allocated": allocated}, passes


def inner_work(name: str, backend: str) -> tuple[Passes, int]:
    """Passes of a step after the first two, and the most bytes that the next one allocates."""
    recipe = recipes.make(name)
    recipe.model.bind(backend, np.float32, recipe.seed)
    run = training(recipe, *striped(4 * BATCH_SIZE), BATCH_SIZE)
    for _ in range(2):
        run.step()
    with counted() as passes:
        run.step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run.step()
        return passes, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------ comparison
def rises(found: Work, recorded: Work) -> list[str]:
    """What has risen, a sentence each, with the names of what has."""
    sentences = []
    for step, work in found["steps"].items():
        before = recorded["steps"].get(step)
        if before is None:
            sentences.append(f"{step} is not in {FILE.name}: python -m bench.work --write.")
            continue
        sentences += [
            _sentence(f"a step of {step} takes", unit, work[kind], before[kind])
            for kind, unit in UNITS.items()
            if sum(work[kind].values()) > sum(before[kind].values())
        ]
        if work["allocated"] >= ALLOCATED:
            sentences.append(
                f"a step of {step} allocates {work['allocated']:,} bytes, fewer than {ALLOCATED:,} "
                "are wanted."
            )
    if sum(found["kernels"].values()) > sum(recorded["kernels"].values()):
        sentences.append(
            _sentence("Numba takes", "compiled kernels", found["kernels"], recorded["kernels"])
        )
    return sentences


def _sentence(subject: str, unit: str, found: dict[str, int], before: dict[str, int]) -> str:
    risen = {
        name: f"{name} {before.get(name, 0):,} → {value:,}"
        for name, value in found.items()
        if value > before.get(name, 0)
    }
    return (
        f"{subject} {sum(found.values()):,} {unit}, {sum(before.values()):,} in {FILE.name}: "
        f"{', '.join(risen.values())}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args()
    found = count()
    if options.write:
        for work in found["steps"].values():
            del work["allocated"]  # has a limit of its own
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    sentences = rises(found, json.loads(FILE.read_text()))
    print("\n".join(sentences) or f"no more work than in {FILE.name}")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
