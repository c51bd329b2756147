"""Data sets: MNIST in the box, and folders of IDX files in the same format."""

from minae.datasets.idx import read_idx
from minae.datasets.images import ImageSet, load_images

__all__ = ["ImageSet", "load_images", "read_idx"]
