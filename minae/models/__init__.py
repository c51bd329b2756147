"""The models: each writes its own backward pass in terms of its layers'."""

from minae.models.autoencoder import Autoencoder
from minae.models.conditional import ConditionalVAE
from minae.models.model import Model
from minae.models.records import RecordVAE
from minae.models.series import SeriesAutoencoder
from minae.models.super_resolution import SuperResolution
from minae.models.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "ConditionalVAE",
    "Model",
    "RecordVAE",
    "SeriesAutoencoder",
    "SuperResolution",
    "VariationalAutoencoder",
]
