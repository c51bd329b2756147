"""Melodies made by rule: piano rolls of two bars, a chord below and a tune above.

A roll is a picture of 24 pitches (two octaves, the highest at the top) by 32 steps (sixteenths of
two bars of 4/4), ink where a note sounds. A piece is in one of the twelve major keys, its label.
Each bar has two chords of a common progression (I V vi IV and the like), held as triads in the
lower octave for eight steps each. The tune above moves along the scale by small steps in notes of
2, 4 or 8 sixteenths, begins and ends on a note of its chord, and rests now and then. So every note
is of the key, at most four sound together, and chords change at steps 0, 8, 16, 24 only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from minae.backends.spec import Array
from minae.datasets.arrays import read_image_arrays
from minae.datasets.images import ImageSet
from minae.datasets.split import split_off

PITCHES, STEPS = 24, 32
KEYS = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones of a major key
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4))


@dataclass(frozen=True, eq=False)
class RollSet(ImageSet):
    """Piano rolls as byte images (M, 24·32), 255 where a note sounds."""

    sample: ClassVar[str] = "roll"
    samples: ClassVar[str] = "rolls"
    number: ClassVar[str] = "note"
    place: ClassVar[str] = "note"

    @classmethod
    def load(cls, path: Path | None = None) -> "RollSet":
        return load_rolls(path)


def load_rolls(path: Path | None = None) -> RollSet:
    """Rolls of .npy or .npz arrays (M, 24, 32), or melodies made here; a seventh is for the test.

    Raises MinaeError for what `read_image_arrays` refuses.
    """
    if path is not None:
        parts = read_image_arrays(path, (PITCHES, STEPS))
        name = path.resolve().stem
    else:
        rolls, keys = generate_melodies()
        images = (255 * rolls.reshape(len(rolls), -1)).astype(np.uint8)  # (M, 24·32)
        train, test = split_off(len(images))
        parts = images[train], keys[train], images[test], keys[test]
        name = "melodies made by minae"
    classes = 1 + int(max(parts[1].max(), parts[3].max()))
    return RollSet(name, *parts, image_shape=(PITCHES, STEPS), classes=classes)


def generate_melodies(count: int = 4200, seed: int = 0) -> tuple[Array, Array]:
    """Rolls bool (count, 24, 32), row 0 the highest pitch, and their keys int64 (count,)."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, len(KEYS), count)
    rolls = np.zeros((count, PITCHES, STEPS), bool)
    for roll, key in zip(rolls, keys, strict=True):
        _compose(rng, int(key), roll[::-1])  # pitch 0 is the lowest there
    return rolls, keys


def in_key(key: int) -> Array:
    """Which rows of a roll are notes of this key, bool (24,)."""
    pitches = np.arange(PITCHES)[::-1]
    return np.isin((pitches - key) % 12, SCALE)


def _compose(rng: np.random.Generator, key: int, roll: Array) -> None:
    """Write two bars in this key into a roll (24, 32) of zeros, the lowest pitch first."""
    chords = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    for i, degree in enumerate(chords):
        for third in (0, 2, 4):
            pitch = (key + SCALE[(degree + third) % 7]) % 12
            roll[pitch, 8 * i : 8 * (i + 1)] = True
    scale = [p for p in range(12, PITCHES) if (p - key) % 12 in SCALE]
    step, place = 0, int(rng.integers(len(scale)))
    while step < STEPS:
        length = min(int(rng.choice([2, 4, 8], p=[0.45, 0.45, 0.1])), STEPS - step)
        if step == 0 or step + length == STEPS:
            place = _nearest_of_chord(scale, place, key, chords[step // 8])
        if rng.random() > 0.1 or step == 0:
            roll[scale[place], step : step + length] = True
        step += length
        place = int(np.clip(place + rng.choice([-2, -1, -1, 1, 1, 2]), 0, len(scale) - 1))


def _nearest_of_chord(scale: list[int], place: int, key: int, degree: int) -> int:
    """The place in the scale nearest to this one whose note is of the chord."""
    notes = {(key + SCALE[(degree + third) % 7]) % 12 for third in (0, 2, 4)}
    places = [p for p, pitch in enumerate(scale) if pitch % 12 in notes]
    return min(places, key=lambda p: abs(p - place))
