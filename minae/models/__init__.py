"""The models: each writes its own backward pass in terms of its layers'."""

from minae.models.autoencoder import Autoencoder
from minae.models.classifier import Classifier
from minae.models.conditional import ConditionalVAE
from minae.models.contractive import ContractiveAutoencoder
from minae.models.denoising import DenoisingAutoencoder
from minae.models.importance import ImportanceWeightedAutoencoder
from minae.models.model import Model
from minae.models.penalized import SparseAutoencoder
from minae.models.records import RecordVAE
from minae.models.series import SeriesAutoencoder
from minae.models.super_resolution import SuperResolution
from minae.models.tied import TiedAutoencoder
from minae.models.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "Classifier",
    "ConditionalVAE",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "ImportanceWeightedAutoencoder",
    "Model",
    "RecordVAE",
    "SeriesAutoencoder",
    "SparseAutoencoder",
    "SuperResolution",
    "TiedAutoencoder",
    "VariationalAutoencoder",
]
