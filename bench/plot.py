"""The figures of a contest as one picture: ratios, and where each model lies under the roof."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from bench.floor import products
from bench.models import BACKENDS, MODELS
from bench.recording import record_step
from bench.report import Row
from minae.backends import get_backend

COLOURS = {"numpy": "tab:blue", "numba": "tab:orange", "best rival": "tab:grey"}


def plot(rows: list[Row], threads: int, file: Path) -> None:
    """Left: rival's time over ours. Right: arithmetic of the step by its traffic, and the roof that
    the measured rates of matrix product and copy put over it."""
    best = [row for row in rows if row["best_rival"]]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(14, max(5, 2.5 + 0.22 * len(best))), layout="constrained"
    )
    _ratios(left, best)
    _roofline(right, best, threads)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _ratios(axes: plt.Axes, rows: list[Row]) -> None:
    keys = list(dict.fromkeys((row["model"], row["batch_size"]) for row in rows))
    for i, backend in enumerate(BACKENDS):
        own = [row for row in rows if row["backend"] == backend]
        places = [keys.index((row["model"], row["batch_size"])) + 0.4 * i - 0.2 for row in own]
        axes.barh(
            places,
            [row["ratio"] - 1 for row in own],
            left=1,
            height=0.4,
            color=COLOURS[backend],
            label=f"minae, {backend}",
        )
    goals = {(row["model"], row["batch_size"]): row["goal"] for row in rows}
    axes.plot([goals[key] for key in keys], range(len(keys)), "k|", markersize=10, label="goal")
    axes.set_xscale("log", base=2)  # twice as slow lies as far from 1 as twice as fast
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.axvline(1, color=COLOURS["best rival"], linewidth=1)
    axes.set_yticks(range(len(keys)), [f"{model}, {batch}" for model, batch in keys])
    axes.invert_yaxis()
    axes.set_xlabel("time of the best rival / time of minae (longer is faster)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def _roofline(axes: plt.Axes, rows: list[Row], threads: int) -> None:
    get_backend("numpy").set_threads(threads)
    gemm, copy = gemm_rate(), copy_rate()
    intensities = np.geomspace(0.5, 500, 50)
    axes.loglog(
        intensities,
        np.minimum(gemm, copy * intensities) / 1e9,
        "k",
        label=f"roof: {gemm / 1e9:.0f} GFLOP/s, {copy / 1e9:.0f} GB/s",
    )
    for row in rows:
        flops, nbytes = work_of(row["model"], row["batch_size"])
        for name, ms in ((row["backend"], row["ms"]), ("best rival", row["rival_ms"])):
            rate = flops / ms / 1e6
            axes.plot(flops / nbytes, rate, "o", color=COLOURS[name], markersize=4)
            if name == "numba":
                note = f"{row['model']}, {row['batch_size']}"
                axes.annotate(note, (flops / nbytes, rate), fontsize=6)
    for name, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=name)
    axes.set_xlabel("matrix-product FLOP a byte that the operations read or write")
    axes.set_ylabel("minae's FLOP over the time of the whole step, GFLOP/s")
    axes.legend(loc="lower right")


def work_of(label: str, batch_size: int) -> tuple[int, int]:
    """(FLOP of the matrix products, bytes read and written) of one step of minae."""
    calls = record_step(MODELS[label].make(), get_backend("numpy"), batch_size)
    flops = sum(product.flops for call in calls for product in products(call))
    return flops, sum(call.nbytes for call in calls)


# ------------------------------------------------------------------ what this processor can do
def gemm_rate() -> float:
    """FLOP/s of a product of two square float32 matrices of 1024."""
    a, b, out = (np.ones((1024, 1024), np.float32) for _ in range(3))
    return 2 * 1024**3 / _median_seconds(lambda: np.matmul(a, b, out=out))


def copy_rate() -> float:
    """Bytes/s, read and written together, of a copy that no cache holds."""
    source, target = (np.ones(2**24, np.float32) for _ in range(2))
    return 2 * source.nbytes / _median_seconds(lambda: np.copyto(target, source))


def _median_seconds(step: Callable[[], object]) -> float:
    step()
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return median(times)
