"""The models: each writes its own backward pass in terms of its layers'."""

from minae.models.autoencoder import Autoencoder
from minae.models.conditional import ConditionalVAE
from minae.models.denoising import DenoisingAutoencoder
from minae.models.model import Model
from minae.models.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "Model",
    "VariationalAutoencoder",
]
