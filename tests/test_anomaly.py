"""Anomaly scores against scikit-learn, brute force and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minae.anomaly import auroc, contributions, detection, threshold
from minae.errors import MinaeError

integer_scores = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40)


@given(integer_scores)
def test_auroc_counts_pairs(pairs):
    scores = np.array([score for score, _ in pairs], np.float64)
    labels = np.array([label for _, label in pairs])
    if labels.all() or not labels.any():
        with pytest.raises(MinaeError, match="some of both kinds"):
            auroc(scores, labels)
        return
    difference = scores[labels][:, None] - scores[~labels][None, :]
    assert auroc(scores, labels) == pytest.approx(((difference > 0) + (difference == 0) / 2).mean())


def test_auroc_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.random(500) < 0.2
    scores = np.round(rng.normal(size=500) + labels, 1)  # with ties
    assert auroc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50),
    st.floats(0, 1, exclude_max=True),
)
def test_threshold_keeps_its_rate_and_is_the_smallest_that_does(scores, rate):
    values = np.array(scores)
    t = threshold(values, rate)
    assert t in values
    assert (values > t).mean() <= rate + 1e-8
    lower = values[values < t]
    if len(lower):
        assert (values > lower.max()).mean() > rate - 1e-8


def test_threshold_of_round_numbers():
    scores = np.arange(100.0)
    for percent in range(100):
        assert threshold(scores, percent / 100) == 99 - percent


def test_detection():
    found = detection([1, 2, 3, 4, 5], [0, 0, 0, 1, 1], threshold=2.5)
    assert found == {
        "false_alarm_rate": pytest.approx(1 / 3),
        "detection_rate": 1.0,
        "precision": pytest.approx(2 / 3),
    }
    nothing = detection([1, 2], [0, 0], threshold=9)
    assert nothing == {"false_alarm_rate": 0.0, "detection_rate": 0.0, "precision": 0.0}


def test_contributions_sum_to_the_score():
    errors = np.arange(12.0).reshape(3, 4)
    parts = contributions(errors, {"duration": slice(0, 1), "service": slice(1, 4)})
    assert parts["duration"].tolist() == [0, 4, 8]
    np.testing.assert_array_equal(sum(parts.values()), errors.sum(axis=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auroc([1, 2], [0]), r"labels have shape \(1,\), \(2,\) wanted"),
        (lambda: auroc([[1, 2]], [0, 1]), r"scores have shape \(1, 2\)"),
        (lambda: auroc([1, np.nan], [0, 1]), "1 of 2 scores are not a number"),
        (lambda: threshold([], 0.1), r"scores have shape \(0,\)"),
        (lambda: threshold([1.0], 1.0), "rate of false alarms is 1.0"),
        (lambda: threshold([1.0], -0.1), "rate of false alarms is -0.1"),
        (lambda: contributions([1.0], {}), r"errors have shape \(1,\)"),
        (lambda: contributions(np.ones((2, 3)), {"a": slice(3, 4)}), "'a' has the columns 3:4"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(MinaeError, match=message):
        call()
