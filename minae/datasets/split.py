"""Splits of a set into parts; the same set is always split alike."""

import numpy as np

from minae.backends.spec import Array
from minae.errors import MinaeError

TRAIN, HELD_OUT = 0.6, 0.1  # shares of the normal samples; the rest is for the test
LEAST = 10  # normal samples that can be split


def split_normal(labels: Array, name: str) -> tuple[Array, Array, Array]:
    """Indices of the training, held-out and test samples, each ascending.

    labels: (M,), 0 where normal. 60 % of the normal samples, drawn with a fixed seed, are for
    training, 10 % are held out, the others are in the test part with every anomaly.

    Raises MinaeError if there are fewer than ten normal samples or no anomaly.
    """
    normal, strange = np.flatnonzero(labels == 0), np.flatnonzero(labels != 0)
    if len(normal) < LEAST or len(strange) == 0:
        raise MinaeError(
            f"{name} has {len(normal)} normal sample(s) and {len(strange)} other(s), "
            f"{LEAST} normal and 1 other or more wanted"
        )
    order = np.random.default_rng(0).permutation(normal)
    first, second = int(TRAIN * len(normal)), int((TRAIN + HELD_OUT) * len(normal))
    return (
        np.sort(order[:first]),
        np.sort(order[first:second]),
        np.sort(np.concatenate([order[second:], strange])),
    )


def split_off(samples: int, share: float = 1 / 7) -> tuple[Array, Array]:
    """Indices of a training and a test part, each ascending: the test gets this share, drawn with
    a fixed seed, and at least one sample. Raises MinaeError if there are fewer than two."""
    if samples < 2:
        raise MinaeError(f"{samples} sample(s) found, 2 or more wanted: some are for the test")
    order = np.random.default_rng(0).permutation(samples)
    test = max(1, int(samples * share))
    return np.sort(order[test:]), np.sort(order[:test])
