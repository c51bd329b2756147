"""Bicubic enlargement, the classical method that super-resolution has to beat."""

import numpy as np

from minae.backends.spec import Array
from minae.layers.layer import Shape


def bicubic(images: Array, shape: Shape, factor: int, a: float = -0.5) -> Array:
    """Images enlarged by a whole factor along height and width, (M, C·H·factor·W·factor).

    images: (M, D), D = C·H·W of `shape`. Each new pixel is a sum of 4×4 old ones, weighted along
    each axis by the cubic of its distance s from them (Keys 1981),

        (a + 2) s³ - (a + 3) s² + 1          s < 1
        a s³ - 5a s² + 8a s - 4a             1 <= s < 2;

    a = -½ is exact for parabolas. Centres of pixels are aligned: new pixel i lies at
    (i + ½) / factor - ½ of the old ones. Beyond the edge the last pixel goes on. Overshoot is kept.
    """
    C, H, W = shape
    M = len(images)
    x = images.reshape(M * C, H, W)
    y = _matrix(H, factor, a) @ x @ _matrix(W, factor, a).T  # (M·C, H·factor, W·factor)
    return y.reshape(M, -1)


def _matrix(size: int, factor: int, a: float) -> Array:
    """The weights along one axis: (size·factor, size), rows sum to 1."""
    weights = np.zeros((size * factor, size))
    for i in range(size * factor):
        centre = (i + 0.5) / factor - 0.5
        first = int(np.floor(centre)) - 1
        for j in range(first, first + 4):
            weights[i, min(max(j, 0), size - 1)] += _cubic(abs(centre - j), a)
    return weights


def _cubic(s: float, a: float) -> float:
    if s < 1:
        return (a + 2) * s**3 - (a + 3) * s**2 + 1
    if s < 2:
        return a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a
    return 0.0
