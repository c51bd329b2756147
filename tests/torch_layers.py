"""The layers in PyTorch's own functions, the judge of the layers."""

from dataclasses import dataclass, field
from math import inf

import numpy as np
import torch
import torch.nn.functional as F

from minae.layers import (
    Activation,
    AvgPool2d,
    Batch,
    BatchNorm1d,
    BatchNorm2d,
    ConditionalConv2d,
    ConditionalDense,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    MaskingNoise,
    MaxPool2d,
    Reshape,
    Sequential,
    Upsample2d,
)

torch.set_num_threads(1)


def tensor(ops, array):
    """A float64 tensor of a device array."""
    return torch.from_numpy(ops.to_numpy(array).astype(np.float64))


def activate(a, activation, slope):
    match activation:
        case "identity":
            return a
        case "leaky_relu":
            return F.leaky_relu(a, slope)
        case "elu":
            return F.elu(a, slope)
        case "softplus":
            return F.softplus(a, threshold=100)
        case _:
            return getattr(torch, activation)(a)


@dataclass
class Judge:
    """Runs a layer in PyTorch, with its weights, labels and dropout masks; planes are really
    concatenated. `kink` becomes the least distance of any number from where f' is not continuous.
    """

    ops: object
    weights: dict  # path: tensor
    batch: Batch
    kink: float = field(default=inf, init=False)

    def one_hot(self):
        return tensor(self.ops, self.batch.one_hot)  # (N, classes)

    def forward(self, path, layer, x, cache):
        w, b = self.weights.get(f"{path}.w"), self.weights.get(f"{path}.b")
        match layer:
            case Sequential():
                for i, inner in enumerate(layer.layers):
                    x = self.forward(f"{path}.{i}", inner, x, cache.layers[i])
                return x
            case ConditionalDense():
                x = torch.cat([x, self.one_hot()], dim=1)  # (N, C + classes)
                w = torch.cat([w, self.weights[f"{path}.w_label"]], dim=1)
                return self.activated(layer, F.linear(x, w, b))
            case Dense():
                return self.activated(layer, F.linear(x, w, b))
            case ConditionalConv2d():
                N, _, H, W = x.shape
                planes = self.one_hot()[:, :, None, None].expand(N, layer.classes, H, W)
                x = torch.cat([x, planes], dim=1)  # (N, C + classes, H, W)
                w = torch.cat([w, self.weights[f"{path}.w_label"]], dim=1)
                y = F.conv2d(x, w, b, layer.stride, dilation=layer.dilation)
                return self.activated(layer, y)
            case Conv1d():
                w = w[:, :, 0, :]  # (K, C/G, KW)
                extents = (layer.stride, layer.padding, layer.dilation, layer.groups)
                return self.activated(layer, F.conv1d(x, w, b, *extents))
            case Conv2d():
                extents = (layer.stride, layer.padding, layer.dilation, layer.groups)
                return self.activated(layer, F.conv2d(x, w, b, *extents))
            case ConvTranspose1d():
                w = w[:, :, 0, :]  # (C, K/G, KW)
                extents = (layer.stride, layer.padding, layer.output_padding)
                y = F.conv_transpose1d(x, w, b, *extents, layer.groups, layer.dilation)
                return self.activated(layer, y)
            case ConvTranspose2d():
                extents = (layer.stride, layer.padding, layer.output_padding)
                y = F.conv_transpose2d(x, w, b, *extents, layer.groups, layer.dilation)
                return self.activated(layer, y)
            case BatchNorm1d() | BatchNorm2d():
                return F.batch_norm(
                    x,
                    self.weights[f"{path}.running_mean"],  # written to, as minae's are
                    self.weights[f"{path}.running_var"],
                    self.weights[f"{path}.gamma"],
                    self.weights[f"{path}.beta"],
                    self.batch.training,
                    layer.momentum,
                    layer.eps,
                )
            case MaxPool2d():
                self.watch_ties(layer, x)
                return F.max_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
            case AvgPool2d():
                return F.avg_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
            case Upsample2d():
                return F.interpolate(x, scale_factor=layer.scale, mode="nearest")
            case Dropout():
                if not self.batch.training:
                    return x
                return x * tensor(self.ops, cache.mask) / (1 - layer.p)
            case MaskingNoise():
                return x * tensor(self.ops, cache.mask) if self.batch.training else x
            case GaussianNoise():
                if not self.batch.training:
                    return x
                return x + layer.std * tensor(self.ops, cache.eps).reshape(x.shape)
            case Activation():
                return self.activated(layer, x)
            case Flatten():
                return torch.flatten(x, 1)
            case Reshape():
                return x.reshape(len(x), *layer.shape)
            case _:
                raise TypeError(f"no judge for {type(layer).__name__}")

    def activated(self, layer, a):
        if layer.activation in ("relu", "leaky_relu", "elu"):
            # exactly 0 is what reads no input (a gap of a transposed convolution): f'(0) must agree
            distances = a.detach().abs()
            distances = distances[distances > 0]
            if len(distances):
                self.kink = min(self.kink, distances.min().item())
        return activate(a, layer.activation, layer.slope)

    def watch_ties(self, layer, x):
        """Two largest numbers of a pooling window that are close are a kink."""
        (KH, KW), (SH, SW), (PH, PW) = layer.extents()
        padded = F.pad(x.detach(), (PW, PW, PH, PH), value=-inf)
        windows = padded.unfold(2, KH, SH).unfold(3, KW, SW).flatten(4)  # (N, C, OH, OW, KH·KW)
        if KH * KW > 1:
            largest = windows.topk(2).values
            self.kink = min(self.kink, (largest[..., 0] - largest[..., 1]).min().item())
