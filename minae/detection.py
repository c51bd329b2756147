"""How well a model that was trained on normal samples tells the others from them."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from minae.anomaly import auroc, detection, threshold
from minae.backends.spec import Array
from minae.datasets import AnomalySet, SeriesSet
from minae.ledger import principal_components

FALSE_ALARMS = (0.01, 0.05)  # rates for which the summary states a threshold
LEAST = 5  # samples of a class for an AUROC of its own


@runtime_checkable
class Detector(Protocol):
    """A model that scores samples: larger where they are stranger."""

    @property
    def code(self) -> int: ...

    def errors(self, samples: npt.ArrayLike) -> Array:
        """What each of the D numbers of a sample adds to its score, (M, D)."""

    def score(self, samples: npt.ArrayLike) -> Array:
        """(M,)"""


def report(model: Detector, data: AnomalySet) -> dict[str, Any]:
    """The figures over the test part, normal samples against all others:

    auroc, and auroc_pca of the squared error that PCA with as many components as the code has
    numbers leaves (fitted to the same training samples); by_class: the AUROC of each kind of
    anomaly against the normal samples; at_false_alarm_rate: for thresholds chosen on the held-out
    normal samples, what they yield on the test part; auroc_of_steps, where the data mark the place
    of their anomalies: the steps of anomalous series against their marks.
    """
    labels = data.test_labels
    scores = model.score(data.test_images)
    held_out = model.score(data.held_out_images)
    mean, basis = principal_components(data.train_images, model.code)
    centred = data.test_images - mean
    left = np.square(centred - (centred @ basis) @ basis.T).sum(axis=1)  # (M,)
    found: dict[str, Any] = {
        "normal": int((labels == 0).sum()),
        "anomalies": int((labels != 0).sum()),
        "auroc": auroc(scores, labels != 0),
        "auroc_pca": auroc(left, labels != 0),
        "components": basis.shape[1],
        "by_class": {
            name: auroc(
                scores[(labels == 0) | (labels == c)], labels[(labels == 0) | (labels == c)]
            )
            for c, name in enumerate(data.class_names)
            if c and (labels == c).sum() >= LEAST
        },
        "at_false_alarm_rate": {},
    }
    for rate in FALSE_ALARMS:
        t = threshold(held_out, rate)
        found["at_false_alarm_rate"][str(rate)] = {
            "threshold": t,
            **detection(scores, labels != 0, t),
        }
    if isinstance(data, SeriesSet) and data.test_marks is not None:
        strange = data.test_marks.any(axis=1)
        errors = model.errors(data.test_images[strange])
        found["auroc_of_steps"] = auroc(errors.ravel(), data.test_marks[strange].ravel())
    return found


def table(found: dict[str, Any]) -> str:
    """The report as plain text."""
    lines = [
        f"{found['normal']:,} normal samples against {found['anomalies']:,} others in the test set",
        f"  AUROC {found['auroc']:.4f}; PCA-{found['components']} {found['auroc_pca']:.4f}",
    ]
    if "auroc_of_steps" in found:
        lines.append(
            f"  AUROC of the time steps within strange series {found['auroc_of_steps']:.4f}"
        )
    for rate, reached in found["at_false_alarm_rate"].items():
        lines.append(
            f"  threshold for {float(rate):.0%} false alarms {reached['threshold']:.4g}: finds "
            f"{reached['detection_rate']:.1%}, with {reached['false_alarm_rate']:.1%} false alarms"
        )
    kinds = ", ".join(f"{name} {value:.3f}" for name, value in found["by_class"].items())
    lines.append(f"  AUROC by kind: {kinds}")
    return "\n".join(lines)
