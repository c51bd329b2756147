"""What one can do with codes: walk between them, along them, and look for the nearest.

Arrays in, arrays out. A model is any that has encode and decode; labels are given where it is
conditioned on them, one a sample.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError

BLOCK = 1000  # queries compared at a time


def encode(model: Any, images: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Array:
    """Codes (M, Z); the labels go to models that are conditioned on them."""
    codes: Array = (
        model.encode(images) if model.classes is None else model.encode(images, labels=labels)
    )
    return codes


def decode(model: Any, codes: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Array:
    """Images (M, D) in [0, 1]; the labels go to models that are conditioned on them."""
    images: Array = (
        model.decode(codes) if model.classes is None else model.decode(codes, labels=labels)
    )
    return images


def interpolate(
    model: Any,
    start: Array,
    end: Array,
    steps: int,
    labels: npt.ArrayLike | None = None,
) -> tuple[Array, Array]:
    """From start (M, D) to end (M, D) along straight lines: of the codes, and of the pixels.

    With t = 0, 1/(steps - 1), ... 1 the first result is decode((1 - t) z_start + t z_end), the
    second (1 - t) start + t end, both (M, steps, D) in [0, 1].
    """
    if steps < 2:
        raise MinaeError(f"an interpolation has 2 steps or more, found {steps}")
    t = np.linspace(0, 1, steps)[:, None]
    z = [encode(model, images, labels)[:, None, :] for images in (start, end)]  # (M, 1, Z)
    codes = (1 - t) * z[0] + t * z[1]  # (M, steps, Z)
    repeated = None if labels is None else np.repeat(np.asarray(labels), steps)
    latent = decode(model, codes.reshape(-1, codes.shape[2]), repeated)
    x = [(i / 255 if i.dtype == np.uint8 else i)[:, None, :] for i in (start, end)]
    pixel: Array = (1 - t) * x[0] + t * x[1]
    return latent.reshape(pixel.shape), pixel


def traverse(
    model: Any,
    codes: Array,
    direction: Array,
    amounts: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
) -> Array:
    """decode(code + amount · direction) of codes (M, Z) and amounts (S,): (M, S, D)."""
    amounts = np.asarray(amounts)
    walked = codes[:, None, :] + amounts[:, None] * direction  # (M, S, Z)
    repeated = None if labels is None else np.repeat(np.asarray(labels), len(amounts))
    images = decode(model, walked.reshape(-1, codes.shape[1]), repeated)
    return images.reshape(len(codes), len(amounts), -1)


def concept(codes: Array, member: npt.ArrayLike, other: npt.ArrayLike | None = None) -> Array:
    """The direction (Z,) from the mean code of `other` (default: all not in `member`) to that of
    `member`, both masks over codes (M, Z). Raises MinaeError if one of them is empty."""
    member = np.asarray(member, bool)
    other = ~member if other is None else np.asarray(other, bool)
    if not member.any() or not other.any():
        raise MinaeError(
            f"a concept wants samples that have it and others, found {member.sum()} and "
            f"{other.sum()}"
        )
    direction: Array = codes[member].mean(axis=0) - codes[other].mean(axis=0)
    return direction


def neighbours(codes: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """Numbers and Euclidean distances (Q, k) of the k codes (M, Z) nearest to each query (Q, Z)."""
    if not 1 <= k <= len(codes):
        raise MinaeError(f"{k} neighbours asked for, 1 to {len(codes)} wanted")
    codes, queries = codes.astype(np.float64), queries.astype(np.float64)
    squares = np.sum(codes**2, axis=1)
    numbers, distances = [], []
    for start in range(0, len(queries), BLOCK):
        q = queries[start : start + BLOCK]
        d2 = np.sum(q**2, axis=1)[:, None] - 2 * q @ codes.T + squares  # (B, M)
        nearest = np.argpartition(d2, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(d2, nearest, axis=1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, axis=1)
        numbers.append(nearest)
        distances.append(np.linalg.norm(q[:, None, :] - codes[nearest], axis=2))
    return np.concatenate(numbers), np.concatenate(distances)


def fitted_codes(codes: Array, count: int, seed: int = 0) -> Array:
    """Random codes (count, Z) of the normal distribution with the mean and covariance of codes:
    what to draw from where the model has no prior."""
    rng = np.random.default_rng(seed)
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    drawn: Array = rng.multivariate_normal(codes.mean(axis=0), covariance, count, method="svd")
    return drawn.astype(codes.dtype)
