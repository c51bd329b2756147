"""Data sets: images, series, records, and what is in the box of each.

Each `load_...(path)` reads the file or folder given, and without one takes what stands in the box
(MNIST) or is made here with a fixed seed.
"""

from minae.datasets.dataset import AnomalySet, Dataset
from minae.datasets.download import download
from minae.datasets.idx import read_idx
from minae.datasets.images import ImageSet, load_images
from minae.datasets.records import RecordSet, load_records, read_records
from minae.datasets.series import SeriesSet, load_series, read_series
from minae.datasets.table import Table, read_table

__all__ = [
    "AnomalySet",
    "Dataset",
    "ImageSet",
    "RecordSet",
    "SeriesSet",
    "Table",
    "download",
    "load_images",
    "load_records",
    "load_series",
    "read_idx",
    "read_records",
    "read_series",
    "read_table",
]
