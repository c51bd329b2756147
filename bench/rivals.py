"""The same models in PyTorch, as one writes them there, with the same weights, loss and Adam.

Built from a bound minae model by walking through its layers. PyTorch is given its best honest form:
images lie in memory as one float32 tensor, scaled; a batch is taken with index_select, which is
four times as fast as images[rows]; gradients are set to None, not to zero; the loss is never
fetched. A conditional layer really concatenates label planes, as the source page does: that is the
model, and PyTorch has no way to know that it need not.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models import Entry, mnist
from bench.timing import Contender
from minae import layers
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers import Layer
from minae.losses import Loss
from minae.models import Autoencoder, Model, VariationalAutoencoder
from minae.optim import Adam, Optimizer


# ------------------------------------------------------------------ layers
class LabelVector(nn.Module):
    """[x; one_hot]: x (N, C), one_hot (N, classes)."""

    def forward(self, x: Tensor, one_hot: Tensor) -> Tensor:
        return torch.cat([x, one_hot], dim=1)  # (N, C + classes)


class LabelPlanes(nn.Module):
    """[x; one_hot spread over the image]: x (N, C, H, W), one_hot (N, classes)."""

    def forward(self, x: Tensor, one_hot: Tensor) -> Tensor:
        planes = one_hot[:, :, None, None].expand(-1, -1, *x.shape[2:])  # (N, classes, H, W)
        return torch.cat([x, planes], dim=1)  # (N, C + classes, H, W)


class Masking(nn.Module):
    """x with some numbers 0 in training, the others as they are."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.p) if self.training else x


class Gaussian(nn.Module):
    """x + std · eps in training."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x


class Chain(nn.Sequential):
    """Modules one after the other; those that want the labels get them too."""

    def forward(self, x: Tensor, one_hot: Tensor | None) -> Tensor:
        for module in self:
            wants_labels = isinstance(module, LabelVector | LabelPlanes)
            x = module(x, one_hot) if wants_labels else module(x)
        return x


def modules_of(layer: Layer) -> list[nn.Module]:
    """A layer, bound to its weights, as modules of PyTorch with copies of them."""
    match layer:
        case layers.Sequential():
            return [module for inner in layer.layers for module in modules_of(inner)]
        case layers.Dense():
            conditional = isinstance(layer, layers.ConditionalDense)
            inputs = layer.in_features + (layer.classes if conditional else 0)
            linear = nn.Linear(inputs, layer.out_features, layer.bias)
            before = [LabelVector()] if conditional else []
            return [*before, _with_weights(linear, layer), *_activation(layer)]
        case layers.Conv2d() | layers.ConvTranspose2d():
            return _convolution(layer)
        case layers.BatchNorm1d() | layers.BatchNorm2d():
            kind = nn.BatchNorm2d if isinstance(layer, layers.BatchNorm2d) else nn.BatchNorm1d
            return [_with_statistics(kind(layer.num_features, layer.eps, layer.momentum), layer)]
        case layers.MaxPool2d():
            return [nn.MaxPool2d(*layer.extents())]
        case layers.AvgPool2d():
            return [nn.AvgPool2d(*layer.extents())]
        case layers.Upsample2d():
            return [nn.Upsample(scale_factor=layer.scale, mode="nearest")]
        case layers.Dropout():
            return [nn.Dropout(layer.p)]
        case layers.MaskingNoise():
            return [Masking(layer.p)]
        case layers.GaussianNoise():
            return [Gaussian(layer.std)]
        case layers.Activation():
            return _activation(layer)
        case layers.Flatten():
            return [nn.Flatten()]
        case layers.Reshape():
            return [nn.Unflatten(1, layer.shape)]
    raise MinaeError(f"bench.rivals has no module of PyTorch for the layer {layer}")


def _convolution(layer: layers.Conv2d | layers.ConvTranspose2d) -> list[nn.Module]:
    """A convolution of either kind; those of minae's that are 1-D have a height of 1."""
    one_dimensional = isinstance(layer, layers.Conv1d | layers.ConvTranspose1d)
    conditional = isinstance(layer, layers.ConditionalConv2d)
    inputs = layer.in_channels + (layer.classes if conditional else 0)
    kernel, stride, padding, dilation = (e[1:] if one_dimensional else e for e in layer.extents())
    if isinstance(layer, layers.ConvTranspose2d):
        kind = nn.ConvTranspose1d if one_dimensional else nn.ConvTranspose2d
        extra = layer.output_extra()
        extents = (stride, padding, extra[1:] if one_dimensional else extra)
        rest = (layer.groups, layer.bias, dilation)
    else:
        kind = nn.Conv1d if one_dimensional else nn.Conv2d
        extents, rest = (stride, padding, dilation), (layer.groups, layer.bias)
    convolution = kind(inputs, layer.out_channels, kernel, *extents, *rest)
    before = [LabelPlanes()] if conditional else []
    return [*before, _with_weights(convolution, layer), *_activation(layer)]


def _activation(layer: Layer) -> list[nn.Module]:
    match layer.activation:
        case "identity":
            return []
        case "relu":
            return [nn.ReLU()]
        case "leaky_relu":
            return [nn.LeakyReLU(layer.slope)]
        case "elu":
            return [nn.ELU(layer.slope)]
        case "sigmoid":
            return [nn.Sigmoid()]
        case "tanh":
            return [nn.Tanh()]
        case "softplus":
            return [nn.Softplus()]
    raise MinaeError(f"bench.rivals has no module of PyTorch for the activation {layer.activation}")


def _with_weights(module: nn.Module, layer: Layer) -> nn.Module:
    """The module with the layer's weights; those of the label channels come after the others."""
    host = layer.ops.to_numpy
    w = [host(layer.w)] + ([host(layer.w_label)] if hasattr(layer, "w_label") else [])
    values = torch.from_numpy(np.concatenate(w, axis=1))
    module.weight = nn.Parameter(values.reshape(module.weight.shape))
    if layer.bias:
        module.bias = nn.Parameter(torch.from_numpy(host(layer.b)))
    return module


def _with_statistics(module: nn.Module, layer: Layer) -> nn.Module:
    host = layer.ops.to_numpy
    module.weight = nn.Parameter(torch.from_numpy(host(layer.gamma)))
    module.bias = nn.Parameter(torch.from_numpy(host(layer.beta)))
    module.running_mean = torch.from_numpy(host(layer.running_mean))
    module.running_var = torch.from_numpy(host(layer.running_var))
    return module


# ------------------------------------------------------------------ models
class Twin(nn.Module):
    """The loss of a batch: x (N, *input_shape) in pixel_range, one_hot (N, classes) or None."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encoder = Chain(*modules_of(model.encoder))
        self.decoder = Chain(*modules_of(model.decoder))
        self.reconstruction_loss = loss_of(model.loss)

    def forward(self, x: Tensor, one_hot: Tensor | None = None, eps: None = None) -> Tensor:
        return self.reconstruction_loss(self.decoder(self.encoder(x, one_hot), one_hot), x)


class VariationalTwin(Twin):
    """As a Twin; eps (N, latent) is drawn here unless it is given."""

    def __init__(self, model: VariationalAutoencoder) -> None:
        super().__init__(model)
        self.beta, self.kl_scale = model.beta, model.loss.scale

    def forward(
        self, x: Tensor, one_hot: Tensor | None = None, eps: Tensor | None = None
    ) -> Tensor:
        mean, log_var = self.encoder(x, one_hot).chunk(2, dim=1)
        std = torch.exp(0.5 * log_var)
        z = mean + std * (torch.randn_like(std) if eps is None else eps)
        reconstruction = self.reconstruction_loss(self.decoder(z, one_hot), x)
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return reconstruction + self.beta * self.kl_scale(tuple(x.shape)) * kl


def twin_of(model: Model) -> Twin:
    """A bound model in PyTorch, with copies of its weights."""
    match model:
        case VariationalAutoencoder():
            return VariationalTwin(model)
        case Autoencoder():
            return Twin(model)
    raise MinaeError(f"bench.rivals has no twin for a {type(model).__name__}")


def loss_of(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """PyTorch's function for a loss, with the same reduction."""
    functions = {
        "BCEWithLogits": F.binary_cross_entropy_with_logits,
        "BCE": F.binary_cross_entropy,
        "MSE": F.mse_loss,
        "L1": F.l1_loss,
    }
    function = functions[type(loss).__name__]
    if loss.reduction == "image":
        return lambda y, t: function(y, t, reduction="sum") / len(t)
    return lambda y, t: function(y, t, reduction=loss.reduction)


def adam_of(optimizer: Optimizer, twin: Twin, *, fused: bool) -> torch.optim.Adam:
    """PyTorch's Adam as the recipe's, in its default form or fused."""
    if type(optimizer) is not Adam:
        raise MinaeError(f"bench.rivals knows Adam only, found {type(optimizer).__name__}")
    betas = (optimizer.beta1, optimizer.beta2)
    return torch.optim.Adam(
        twin.parameters(),
        optimizer.lr,
        betas,
        optimizer.eps,
        optimizer.weight_decay,
        fused=fused or None,
    )


# ------------------------------------------------------------------ training
def pixels_of(model: Model, images: Array) -> Tensor:
    """Bytes (M, D) as float32 (M, *input_shape) in the model's pixel_range."""
    low, high = model.pixel_range
    pixels = torch.from_numpy(images).to(torch.float32)
    return pixels.mul_((high - low) / 255).add_(low).reshape(-1, *model.input_shape)


def one_hot_of(model: Model, labels: Array) -> Tensor | None:
    """Labels (M,) as float32 (M, classes); None where the model takes none."""
    if model.classes is None:
        return None
    return F.one_hot(torch.from_numpy(labels), model.classes).to(torch.float32)


RIVALS = {
    "eager": {},
    "fused": {"fused": True},
    "channels-last": {"fused": True, "channels_last": True},
    "compile": {"fused": True, "compiled": True},
}


class TorchTraining:
    """Trains a twin as `minae.training.Training` trains its model: every sample once an epoch, in a
    new order.

    fused: Adam in one kernel; channels_last: how PyTorch's convolutions lay out images;
    compiled: torch.compile; lean: the images stay bytes, and each batch is scaled when it
    is taken, which is slower and smaller.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        images: Array,
        labels: Array,
        *,
        batch_size: int,
        fused: bool = False,
        channels_last: bool = False,
        compiled: bool = False,
        lean: bool = False,
    ) -> None:
        twin = twin_of(model)
        if channels_last:
            twin.to(memory_format=torch.channels_last)
        self.optimizer = adam_of(optimizer, twin, fused=fused)
        self.twin = torch.compile(twin) if compiled else twin
        self.take = _bytes_taker(model, images) if lean else _taker(model, images)
        self.one_hot = one_hot_of(model, labels)
        self.samples, self.batch_size = len(images), batch_size
        self.start = self.samples

    def step(self) -> None:
        if self.start + self.batch_size > self.samples:
            self.order, self.start = torch.randperm(self.samples), 0
        rows = self.order[self.start : self.start + self.batch_size]
        self.start += self.batch_size
        one_hot = None if self.one_hot is None else self.one_hot.index_select(0, rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.twin(self.take(rows), one_hot)
        loss.backward()
        self.optimizer.step()


def _taker(model: Model, images: Array) -> Callable[[Tensor], Tensor]:
    pixels = pixels_of(model, images)
    return lambda rows: pixels.index_select(0, rows)


def _bytes_taker(model: Model, images: Array) -> Callable[[Tensor], Tensor]:
    resident = torch.from_numpy(images)
    return lambda rows: pixels_of(model, resident.index_select(0, rows).numpy())


def theirs(entry: Entry, rival: str, batch_size: int, *, lean: bool = False) -> Contender:
    """PyTorch's training of a model in one of its modes, from minae's initial weights."""
    recipe = entry.make()
    recipe.model.bind("numpy", np.float32, recipe.seed)
    arguments = (recipe.model, recipe.optimizer, *mnist(batch_size))
    run = TorchTraining(*arguments, batch_size=batch_size, lean=lean, **RIVALS[rival])
    return Contender(rival, run.step, torch.set_num_threads)


def twin_loss(model: Model, images: Array, labels: Array, eps: Array | None) -> float:
    """The loss of a bound model's twin on these samples."""
    x, one_hot = pixels_of(model, images), one_hot_of(model, labels)
    with torch.no_grad():
        return twin_of(model)(x, one_hot, None if eps is None else torch.from_numpy(eps)).item()
