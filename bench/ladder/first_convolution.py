"""M3's first convolution: 16 kernels of 6×6, stride 2, over the image and ten label planes.

x: (256, 1, 28, 28);  one_hot: (256, 10);  w: (16, 1, 6, 6);  w_label: (16, 10, 6, 6);  b: (16,);
y: (256, 16, 12, 12), before the activation.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from bench.ladder import Rung
from minae.backends import get_backend
from minae.backends.spec import Array
from minae.layers import Batch, ConditionalConv2d
from minae.parameters import Parameters

TITLE = "M3's first convolution with its label planes, forward, batch 256"
N, C, K, KH, KW, S = 256, 1, 16, 6, 6, 2
H = W = 28
OH = OW = (H - KH) // S + 1
CLASSES = 10


def rungs(threads: int) -> list[Rung]:
    """The rungs over one set of numbers."""
    rng = np.random.default_rng(0)
    x = rng.random((N, C, H, W), np.float32)
    one_hot = np.eye(CLASSES, dtype=np.float32)[rng.integers(CLASSES, size=N)]
    layer, _ = bound("numpy")
    w, b = np.concatenate([layer.w, layer.w_label], axis=1), layer.b  # (K, C + classes, KH, KW)
    y = np.empty((N, K, OH, OW), np.float32)
    return [
        Rung("loops in Python", lambda: (loops(x[0], one_hot[0], w, b),), part=1 / N),
        Rung("planes concatenated, a column for each window", lambda: (windows(x, one_hot, w, b),)),
        Rung("columns by a strided view, one product", lambda: (strided(x, one_hot, w, b),)),
        Rung("no planes but a class bias: the backend `numpy`", by_layer("numpy", x, one_hot)),
        Rung("direct loops in Numba", lambda: (direct(x, one_hot, w, b, y),)),
        Rung("the backend `numba` as it stands", by_layer("numba", x, one_hot)),
    ]


def planes(x: Array, one_hot: Array) -> Array:
    """[x; one_hot at every pixel], (N, C + classes, H, W)."""
    spread = np.broadcast_to(one_hot[:, :, None, None], (len(x), CLASSES, H, W))
    return np.concatenate([x, spread], axis=1)


def loops(image: Array, one_hot: Array, w: Array, b: Array) -> Array:
    """One image, number by number."""
    x, w_list = planes(image[None], one_hot[None])[0].tolist(), w.tolist()
    y = np.empty((1, K, OH, OW), np.float32)
    for k in range(K):
        for i in range(OH):
            for j in range(OW):
                total = float(b[k])
                for c in range(C + CLASSES):
                    for p in range(KH):
                        for q in range(KW):
                            total += w_list[k][c][p][q] * x[c][i * S + p][j * S + q]
                y[0, k, i, j] = total
    return y


def windows(x: Array, one_hot: Array, w: Array, b: Array) -> Array:
    """im2col image by image, window by window."""
    whole = planes(x, one_hot)
    y = np.empty((N, K, OH, OW), np.float32)
    columns = np.empty((OH * OW, (C + CLASSES) * KH * KW), np.float32)
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                window = whole[n, :, i * S : i * S + KH, j * S : j * S + KW]
                columns[i * OW + j] = window.ravel()
        y[n] = (w.reshape(K, -1) @ columns.T + b[:, None]).reshape(K, OH, OW)
    return y


def strided(x: Array, one_hot: Array, w: Array, b: Array) -> Array:
    """im2col of the whole batch as one copy of a view of all windows."""
    views = sliding_window_view(planes(x, one_hot), (KH, KW), axis=(2, 3))[:, :, ::S, ::S]
    columns = views.transpose(1, 4, 5, 0, 2, 3).reshape(-1, N * OH * OW)  # (Q, N·L), copied
    rows = w.reshape(K, -1) @ columns + b[:, None]  # (K, N·L)
    return np.ascontiguousarray(rows.reshape(K, N, OH, OW).transpose(1, 0, 2, 3))


def bound(backend: str) -> tuple[ConditionalConv2d, Parameters]:
    """The layer with its weights; the same ones on every backend."""
    layer = ConditionalConv2d(C, K, KH, stride=S, classes=CLASSES)
    return layer, Parameters({"layer": layer}, get_backend(backend), np.float32)


def by_layer(backend: str, x: Array, one_hot: Array) -> Callable[[], tuple[Array, ...]]:
    layer, parameters = bound(backend)
    batch = Batch.first(parameters.ops, N)
    batch.one_hot = one_hot
    cache = layer.new_cache(x.shape, batch)
    return lambda: (layer.forward(x, cache),)


def direct(x: Array, one_hot: Array, w: Array, b: Array, y: Array) -> Array:
    """The sum as it stands, without planes."""
    bias = one_hot @ w[:, C:].sum((2, 3)).T + b  # (N, K)
    _direct(x, np.ascontiguousarray(w[:, :C]), bias, y)
    return y


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _direct(x: Array, w: Array, bias: Array, y: Array) -> None:
    for n in range(N):
        for k in range(K):
            for i in range(OH):
                for j in range(OW):
                    total = bias[n, k]
                    for c in range(C):
                        for p in range(KH):
                            for q in range(KW):
                                total += w[k, c, p, q] * x[n, c, i * S + p, j * S + q]
                    y[n, k, i, j] = total
