"""Each operation of the contract beside its counterpart in PyTorch, and beside what bounds it.

    python -m bench.cpu --operations

The bound is the operation's matrix products alone, or, where it has none, a copy that moves as many
bytes: the faster of NumPy's and PyTorch's, at that size, so from a cache if they fit into it.
Sizes are those of the models at batch 256.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from bench.floor import floor, products
from bench.models import BACKENDS
from bench.operations import of_layers, of_training
from bench.operations.case import Case, Draw
from bench.recording import Call
from bench.timing import Contender, Timing, alternate
from minae.backends import get_backend

TURN, SETTLE, ROUNDS = 0.02, 0.02, 5


def cases() -> Iterator[Case]:
    """One or more for every operation of the contract that a step can call."""
    draw = Draw()
    for family in of_layers.FAMILIES + of_training.FAMILIES:
        yield from family(draw)


def run(threads: int, rounds: int = ROUNDS, turn: float = TURN) -> None:
    """Print a table, a line for each case."""
    names = (*BACKENDS, "PyTorch", "bound")
    print(f"| {'operation':<25} | {'of':<32} | " + " | ".join(f"{n + ', µs':>11}" for n in names)
          + " | by     | PyTorch / numba |")  # fmt: skip
    print(f"|{'-' * 27}|{'-' * 34}|" + "|".join(4 * ["-" * 13]) + f"|{'-' * 8}|{'-' * 17}|")
    disturbed = 0
    for case in cases():
        us, by, timing = microseconds(case, threads, rounds, turn)
        disturbed += timing.disturbed
        times = " | ".join(f"{us[name]:11.1f}" for name in names)
        ratio = us["PyTorch"] / us["numba"]
        print(
            f"| {case.operation:<25} | {case.sizes:<32} | {times} | {by} | {ratio:15.2f} |",
            flush=True,
        )
    if disturbed:
        print(f"{disturbed} turns disturbed by other work on this machine")


def microseconds(
    case: Case, threads: int, rounds: int, turn: float
) -> tuple[dict[str, float], str, Timing]:
    """Median time of the call by contender and of its bound, the bound's kind, and the timing."""
    set_threads = get_backend("numpy").set_threads
    contenders = [
        Contender(name, lambda name=name: case.run(name), get_backend(name).set_threads)
        for name in BACKENDS
    ]
    contenders.append(Contender("PyTorch", case.rival, torch.set_num_threads))
    call = Call(case.operation, {"transpose_a": False, "transpose_b": False} | case.arguments)
    wanted = products(call)
    if wanted:
        bounds = {"GEMM": Contender("GEMM", floor(wanted), set_threads)}
    else:
        by_numpy, by_torch = copies(call.nbytes)
        bounds = {
            "copy": Contender("copy", by_numpy, set_threads),
            "copy by PyTorch": Contender("copy by PyTorch", by_torch, torch.set_num_threads),
        }
    timing = alternate(
        [*contenders, *bounds.values()], threads=threads, rounds=rounds, turn=turn, settle=SETTLE
    )
    times = {name: 1e3 * timing.ms(name) for name in timing.turns}
    times["bound"] = min(times[name] for name in bounds)
    return times, "GEMM  " if wanted else "memory", timing


def copies(nbytes: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Copies that read and write so many bytes together, by NumPy and by PyTorch."""
    source = np.ones(max(nbytes // 2, 1), np.uint8)
    target = np.empty_like(source)
    tsource, ttarget = torch.from_numpy(source), torch.from_numpy(target)
    return lambda: np.copyto(target, source), lambda: ttarget.copy_(tsource)
