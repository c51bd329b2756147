"""Heartbeats made by formula, and anomalies whose place in time is known.

A beat of 140 samples is a sum of five bumps a · exp(-½ ((t - c) / w)²), the waves P, Q, R, S and T
of an electrocardiogram (the dynamical model of McSharry et al. 2003 in closed form), on a slow
wander of the baseline and white noise. From beat to beat place, height and width of every wave vary
by a few per cent and the whole beat stretches a little, as a heart does. An anomaly changes one
stretch of a beat, which is marked:

| kind            | what is changed                                                    |
|-----------------|--------------------------------------------------------------------|
| no P wave       | the first bump is missing                                          |
| wide QRS        | Q, R and S are three times as wide and lower, T hangs down         |
| raised ST       | the stretch between S and T stands 0.25 to 0.45 higher             |
| flat T wave     | the last bump is gone                                              |
| spike           | an artefact of 3 samples at any place, of the height of R          |
"""

import numpy as np

from minae.backends.spec import Array

LENGTH = 140
KINDS = ("normal", "no P wave", "wide QRS", "raised ST", "flat T wave", "spike")
# wave: centre, width (in beats), height (in R waves)
WAVES = {
    "P": (0.20, 0.030, 0.16),
    "Q": (0.335, 0.012, -0.14),
    "R": (0.37, 0.014, 1.00),
    "S": (0.405, 0.014, -0.25),
    "T": (0.66, 0.055, 0.30),
}


def generate_heartbeats(
    normal: int = 1200, of_each_anomaly: int = 40, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Beats float32 (M, 140), their kinds int64 (M,) and marks bool (M, 140).

    M = normal + 5·of_each_anomaly; kinds index KINDS; a mark is where the beat is not normal.
    """
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(KINDS)), [normal] + [of_each_anomaly] * (len(KINDS) - 1))
    beats = np.empty((len(kinds), LENGTH), np.float32)
    marks = np.empty((len(kinds), LENGTH), bool)
    for m, kind in enumerate(kinds):
        beats[m], marks[m] = _beat(rng, KINDS[kind])
    return beats, kinds.astype(np.int64), marks


def _beat(rng: np.random.Generator, kind: str) -> tuple[Array, Array]:
    """One beat (140,) and where it is not normal (140,)."""
    t = np.arange(LENGTH) / LENGTH  # in beats
    stretch, shift = rng.normal(1, 0.03), rng.normal(0, 0.01)
    mark = np.zeros(LENGTH, bool)
    y = 0.05 * np.sin(2 * np.pi * (rng.uniform(0.3, 1.0) * t + rng.random()))  # the wander
    for name, wave in WAVES.items():
        centre, width, height = np.array(wave) * (
            1 + np.array([0.01, 0.06, 0.08]) * rng.standard_normal(3)
        )
        centre = 0.37 + (centre - 0.37) * stretch + shift
        if kind == "wide QRS":
            if name in "QRS":
                width, height = 3 * width, 0.7 * height
                mark |= np.abs(t - centre) < 2 * width
            elif name == "T":
                height = -height
                mark |= np.abs(t - centre) < 2 * width
        elif (kind, name) in (("no P wave", "P"), ("flat T wave", "T")):
            height = 0.0
            mark |= np.abs(t - centre) < 2 * width
        y += height * np.exp(-0.5 * ((t - centre) / width) ** 2)
    if kind == "raised ST":
        stretch_of_st = (t > 0.43) & (t < 0.60)
        y += rng.uniform(0.25, 0.45) * stretch_of_st
        mark |= stretch_of_st
    elif kind == "spike":
        first = int(rng.integers(2, LENGTH - 5))
        y[first : first + 3] += rng.choice([-1.0, 1.0]) * np.array([0.5, 1.0, 0.5])
        mark[first : first + 3] = True
    return y + rng.normal(0, 0.02, LENGTH), mark
