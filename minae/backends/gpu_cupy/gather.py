"""Batches from a data set on the device, one-hot labels, binary pixels. Plain form:
`cpu_numpy/gather.py`."""

import numpy as np

from minae.backends.gpu_cupy.arrays import contiguous, scratch, tickets
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


def argsort(keys: Array, *, out: Array) -> None:
    """out = the rows of keys in ascending order; see spec. Buckets by their first bits, of about 16
    random keys each, and each key counted among those of its bucket: no thread waits for another,
    and the order does not depend on who came first."""
    N = len(keys)
    bits = min(16, max(1, (N // 16).bit_length()))
    buckets, shift, blocks = 1 << bits, 32 - bits, for_each(N)
    counts = tickets("gather.counts", (buckets,), np.uint32)
    begins = scratch("gather.begins", (buckets + 1,), np.uint32)
    places = scratch("gather.places", (buckets,), np.uint32)
    rows = scratch("gather.rows", (N,), np.int32)
    keys = contiguous("gather.keys", keys)
    launch("gather", "count_buckets", "float32", blocks, keys, N, shift, counts)
    launch("gather", "begin_buckets", "float32", 1, counts, buckets, begins, places)
    launch("gather", "fill_buckets", "float32", blocks, keys, N, shift, places, rows)
    launch("gather", "sort_buckets", "float32", blocks, keys, N, shift, begins, rows, out)


def binarize(x: Array, u: Array, *, out: Array) -> None:
    """out = 1 where u < x, else 0; see spec."""
    x, u = contiguous("gather.x", x), contiguous("gather.u", u)
    launch("gather", "binarize", out.dtype, for_each(out.size), x, u, out.size, out)
