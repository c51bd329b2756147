"""What training and pictures need of a data set, whatever its samples are."""

from dataclasses import dataclass
from typing import Any

from minae.backends.spec import Array


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples as rows of numbers, in a training and a test part, each with a label.

    Rows are uint8, 0 ... 255 standing for 0 ... 1, or floating. What the engine calls an image is
    one row: a picture, a series, a record, a map.
    """

    name: str
    train_images: Array  # (M, D), C-contiguous
    train_labels: Array  # int64 (M,)
    test_images: Array  # as train_images, of the test part
    test_labels: Array

    @property
    def dimensions(self) -> dict[str, Any]:
        """What a recipe must know to fit its model to these data: its options by name."""
        return {}


@dataclass(frozen=True, eq=False)
class AnomalySet(Dataset):
    """Normal samples to learn from; normal and strange ones to be told apart.

    Label 0 is normal, c > 0 an anomaly named class_names[c]. `train_images` are normal, all of
    them. `held_out_images` are normal too, and in neither part: thresholds are chosen on them.
    """

    held_out_images: Array  # as train_images
    class_names: tuple[str, ...]
