"""Batches from a data set that lies on the device. Plain form: `cpu_numpy/gather.py`."""

from minae.backends.gpu_cupy.arrays import contiguous
from minae.backends.gpu_cupy.device import for_each, launch
from minae.backends.spec import Array


def gather(source: Array, indices: Array, scale: float, shift: float, *, out: Array) -> None:
    """out[n] = scale · source[indices[n]] + shift; see spec."""
    launch(
        "gather",
        f"gather_{source.dtype.name}",
        out.dtype,
        for_each(out.size),
        contiguous("gather.source", source),
        contiguous("gather.indices", indices),
        float(scale),
        float(shift),
        out.size,
        out.shape[1],
        out,
    )


def take(source: Array, indices: Array, *, out: Array) -> None:
    """out[n] = source[indices[n]]; see spec."""
    source, indices = contiguous("take.source", source), contiguous("gather.indices", indices)
    launch("gather", "take", "float32", for_each(out.size), source, indices, out.size, out)


def one_hot(labels: Array, *, out: Array) -> None:
    """out[n, c] = 1 if c == labels[n] else 0; see spec."""
    labels = contiguous("gather.indices", labels)
    blocks = for_each(out.size)
    launch("gather", "one_hot", out.dtype, blocks, labels, out.size, out.shape[1], out)
