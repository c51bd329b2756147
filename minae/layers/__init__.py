"""The layers: parameters, and the order in which operations are called."""

from minae.layers.activation import Activation
from minae.layers.batch_norm import BatchNorm1d, BatchNorm2d
from minae.layers.conditional import ConditionalConv2d, ConditionalDense
from minae.layers.conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from minae.layers.dense import Dense
from minae.layers.dropout import Dropout
from minae.layers.layer import Batch, Cache, Layer, Parameter
from minae.layers.noise import GaussianNoise, MaskingNoise
from minae.layers.pooling import AvgPool2d, MaxPool2d, Upsample2d
from minae.layers.reshape import Flatten, Reshape
from minae.layers.sequential import Sequential

__all__ = [
    "Activation",
    "AvgPool2d",
    "Batch",
    "BatchNorm1d",
    "BatchNorm2d",
    "Cache",
    "ConditionalConv2d",
    "ConditionalDense",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianNoise",
    "Layer",
    "MaskingNoise",
    "MaxPool2d",
    "Parameter",
    "Reshape",
    "Sequential",
    "Upsample2d",
]
