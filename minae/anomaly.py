"""Anomaly scores: how well they rank, where to draw the line, and what carries them.

A score is a number a sample that is larger the stranger the sample is; an autoencoder's is its
reconstruction error. Arrays in, arrays out, NumPy only.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError


def auroc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The area under the ROC curve: P(an anomaly's score > a normal one's) + ½ P(they are equal).

    scores: (M,) real numbers;  labels: (M,), 0 or False where the sample is normal. ½ is chance, 1
    is a perfect ranking. It is the Mann-Whitney statistic of the ranks r, equal scores sharing
    their mean rank:

        (Σ over anomalies r - P (P + 1) / 2) / (P Q),   P anomalies, Q normal samples.

    Raises MinaeError if the arrays differ in shape, if a score is not a number, or if one of the
    two classes is missing.
    """
    scores = _scores(scores)
    anomalous = np.asarray(labels).astype(bool)
    if anomalous.shape != scores.shape:
        raise MinaeError(
            f"labels have shape {anomalous.shape}, {scores.shape} wanted: one for each score"
        )
    P, M = int(anomalous.sum()), len(scores)
    if P in (0, M):
        raise MinaeError(
            f"{P} of {M} samples are labelled as anomalies; the AUROC wants some of both kinds"
        )
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # rank of the last score of each group of equal ones, from 1
    ranks = (last - (counts - 1) / 2)[group]  # (M,)
    return float((ranks[anomalous].sum() - P * (P + 1) / 2) / (P * (M - P)))


def threshold(scores_normal: npt.ArrayLike, false_alarm_rate: float) -> float:
    """The smallest observed score t such that at most this share of normal scores is above it.

    scores_normal: (M,), of normal samples that the model was not trained on. A sample is called an
    anomaly where its score > t; at least M·rate of the M scores must be allowed above t for t to
    lie below the largest one.

    Raises MinaeError if there are no scores, if one is not a number, or unless 0 <= rate < 1.
    """
    scores = np.sort(_scores(scores_normal))
    if not 0 <= false_alarm_rate < 1:
        raise MinaeError(
            f"the rate of false alarms is {false_alarm_rate}, a number from 0 to below 1 wanted"
        )
    # 1e-9: 0.07 · 100 is 7.000000000000001, and 0.29 · 100 is 28.999999999999996
    above = min(int(np.floor(len(scores) * false_alarm_rate + 1e-9)), len(scores) - 1)
    return float(scores[len(scores) - 1 - above])


def detection(scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float) -> dict[str, float]:
    """What a threshold yields: shares of false alarms and of anomalies found, and precision.

    scores: (M,);  labels: (M,), 0 where normal. A share of nothing is 0.
    """
    scores = _scores(scores)
    anomalous = np.asarray(labels).astype(bool)
    alarm = scores > threshold

    def share(hits: Array, among: Array) -> float:
        return float(hits[among].mean()) if among.any() else 0.0

    return {
        "false_alarm_rate": share(alarm, ~anomalous),
        "detection_rate": share(alarm, anomalous),
        "precision": share(anomalous, alarm),
    }


def contributions(errors: npt.ArrayLike, groups: Mapping[str, slice]) -> dict[str, Array]:
    """What each named feature or stretch of time adds to each sample's score.

    errors: (M, D), the terms that a score sums, one an element;  groups: name → its columns, a
    categorical feature's several or a single one. Returns name → (M,). Where the groups cover each
    column once, their sum is the score.

    Raises MinaeError if errors are not (M, D) or a group has no column there.
    """
    errors = np.asarray(errors)
    if errors.ndim != 2:
        raise MinaeError(f"errors have shape {errors.shape}, (M, D) wanted")
    result = {}
    for name, columns in groups.items():
        part = errors[:, columns]
        if part.shape[1] == 0:
            raise MinaeError(
                f"feature {name!r} has the columns {columns.start}:{columns.stop}, some within "
                f"0:{errors.shape[1]} wanted"
            )
        result[name] = part.sum(axis=1)
    return result


def _scores(scores: npt.ArrayLike) -> Array:
    """Scores as float64 (M,), M >= 1, none NaN."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise MinaeError(f"scores have shape {scores.shape}, (M,) with M >= 1 wanted")
    if np.isnan(scores).any():
        raise MinaeError(
            f"{int(np.isnan(scores).sum())} of {len(scores)} scores are not a number; "
            "does the model give finite reconstructions?"
        )
    return scores
