"""The conditional variational autoencoder: encoder and decoder know the label."""

from dataclasses import dataclass

from minae.models.variational import VariationalAutoencoder


@dataclass(eq=False)
class ConditionalVAE(VariationalAutoencoder):
    """A VariationalAutoencoder with label conditioning (minae.layers.conditional) in its networks.

    encode, decode, reconstruct, sample and evaluate take the labels beside the data.
    """

    classes: int = 10
