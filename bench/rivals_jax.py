"""The same models in JAX, one compiled function a step: as in `rivals.py`, with jax.jit.

JAX has no switch for its threads within a process: it takes all cores.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.models import Entry, mnist
from bench.timing import Contender
from minae import layers
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers import Layer
from minae.models import Model, VariationalAutoencoder
from minae.optim import Adam

Weights = list[dict[str, jax.Array]]  # of each layer, in order

ACTIVATIONS = {
    "identity": lambda a, slope: a,
    "relu": lambda a, slope: jax.nn.relu(a),
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "sigmoid": lambda a, slope: jax.nn.sigmoid(a),
    "tanh": lambda a, slope: jnp.tanh(a),
    "softplus": lambda a, slope: jax.nn.softplus(a),
}


# ------------------------------------------------------------------ layers
def layers_of(network: Layer) -> list[Layer]:
    if isinstance(network, layers.Sequential):
        return [inner for layer in network.layers for inner in layers_of(layer)]
    return [network]


def weights_of(network: Layer) -> Weights:
    """The weights of the layers; those of label channels come after the others."""
    weights = []
    for layer in layers_of(network):
        host = {name: layer.ops.to_numpy(getattr(layer, name)) for name in layer.parameters()}
        if "w_label" in host:
            host["w"] = np.concatenate([host["w"], host.pop("w_label")], axis=1)
        weights.append({name: jnp.asarray(array) for name, array in host.items()})
    return weights


def apply(network: Layer, weights: Weights, x: jax.Array, one_hot: jax.Array | None) -> jax.Array:
    """The network's output; label planes are really concatenated."""
    for layer, own in zip(layers_of(network), weights, strict=True):
        if isinstance(layer, layers.ConditionalDense):
            x = jnp.concatenate([x, one_hot], axis=1)
        if isinstance(layer, layers.ConditionalConv2d):
            planes = jnp.broadcast_to(one_hot[:, :, None, None], (*one_hot.shape, *x.shape[2:]))
            x = jnp.concatenate([x, planes], axis=1)  # (N, C + classes, H, W)
        x = _linear(layer, own, x)
        if "b" in own:
            x = x + own["b"].reshape(-1, *(1,) * (x.ndim - 2))
        if hasattr(layer, "activation"):
            x = ACTIVATIONS[layer.activation](x, layer.slope)
    return x


def _linear(layer: Layer, own: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    match layer:
        case layers.Dense():
            return x @ own["w"].T
        case layers.Conv1d() | layers.ConvTranspose1d():
            pass
        case layers.Conv2d():
            _, stride, padding, dilation = layer.extents()
            return _convolution(x, own["w"], stride, [(P, P) for P in padding], (1, 1), dilation)
        case layers.ConvTranspose2d() if layer.groups == 1:
            kernel, stride, padding, dilation = layer.extents()
            reach = [D * (K - 1) - P for K, P, D in zip(kernel, padding, dilation, strict=True)]
            margins = [(r, r + e) for r, e in zip(reach, layer.output_extra(), strict=True)]
            w = own["w"].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]  # (K, C, KH, KW)
            return _convolution(x, w, (1, 1), margins, stride, dilation)
        case layers.Flatten():
            return x.reshape(len(x), -1)
        case layers.Reshape():
            return x.reshape(len(x), *layer.shape)
        case layers.Activation():
            return x
    raise MinaeError(f"bench.rivals_jax has no form of the layer {layer}")


def _convolution(
    x: jax.Array, w: jax.Array, stride: Any, padding: Any, spread: Any, dilation: Any
) -> jax.Array:
    """Cross-correlation of x, its pixels `spread` apart, with w."""
    return jax.lax.conv_general_dilated(
        x,
        w,
        stride,
        padding,
        lhs_dilation=spread,
        rhs_dilation=dilation,
        feature_group_count=x.shape[1] // w.shape[1],
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )


# ------------------------------------------------------------------ models
def loss_of(
    model: Model,
    weights: dict[str, Weights],
    x: jax.Array,
    one_hot: jax.Array | None,
    eps: jax.Array | None,
) -> jax.Array:
    """The loss of a batch."""
    z = apply(model.encoder, weights["encoder"], x, one_hot)
    scale, kl = model.loss.scale(tuple(x.shape)), 0.0
    if isinstance(model, VariationalAutoencoder):
        mean, log_var = jnp.split(z, 2, axis=1)
        z = mean + jnp.exp(0.5 * log_var) * eps
        kl = model.beta * 0.5 * jnp.sum(mean**2 + jnp.exp(log_var) - 1 - log_var)
    y = apply(model.decoder, weights["decoder"], z, one_hot)
    match type(model.loss).__name__:
        case "BCEWithLogits":
            terms = jnp.maximum(y, 0) - y * x + jnp.log1p(jnp.exp(-jnp.abs(y)))
        case "MSE":
            terms = (y - x) ** 2
        case name:
            raise MinaeError(f"bench.rivals_jax has no form of the loss {name}")
    return scale * (jnp.sum(terms) + kl)


def twin_loss(model: Model, images: Array, labels: Array, eps: Array | None) -> float:
    """The loss of a bound model's twin on these samples."""
    weights = {name: weights_of(network) for name, network in model.networks().items()}
    return float(loss_of(model, weights, _pixels(model, images), _one_hot(model, labels), eps))


def _pixels(model: Model, images: Array) -> jax.Array:
    low, high = model.pixel_range
    pixels = images.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    return jnp.asarray(pixels.reshape(-1, *model.input_shape))


def _one_hot(model: Model, labels: Array) -> jax.Array | None:
    return None if model.classes is None else jax.nn.one_hot(labels, model.classes)


class JaxTraining:
    """Trains a bound model's twin as `minae.training.Training` trains the model."""

    def __init__(
        self, model: Model, optimizer: Adam, images: Array, labels: Array, *, batch_size: int
    ) -> None:
        self.samples, self.batch_size, self.start = len(images), batch_size, len(images)
        self.images, self.one_hot = _pixels(model, images), _one_hot(model, labels)
        weights = {name: weights_of(network) for name, network in model.networks().items()}
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = (weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros(()))
        self.key = jax.random.key(0)
        latent = getattr(model, "latent", 0)

        def step(state: Any, images: Any, labels: Any, order: Any, start: Any, key: Any) -> Any:
            weights, m, v, t = state
            rows = jax.lax.dynamic_slice(order, (start,), (batch_size,))
            one_hot = None if labels is None else labels[rows]
            eps = jax.random.normal(jax.random.fold_in(key, start), (batch_size, latent))
            loss, g = jax.value_and_grad(lambda w: loss_of(model, w, images[rows], one_hot, eps))(
                weights
            )
            t = t + 1
            b1, b2 = optimizer.beta1, optimizer.beta2
            m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
            v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
            rate, correction = optimizer.lr / (1 - b1**t), 1 / (1 - b2**t)
            weights = jax.tree.map(
                lambda w, m, v: w - rate * m / (jnp.sqrt(v * correction) + optimizer.eps),
                weights,
                m,
                v,
            )
            return (weights, m, v, t), loss

        self._step = jax.jit(step, donate_argnums=0)

    def step(self) -> None:
        if self.start + self.batch_size > self.samples:
            self.key, key = jax.random.split(self.key)
            self.order, self.start = jax.random.permutation(key, self.samples), 0
        data = (self.images, self.one_hot, self.order, self.start, self.key)
        self.state, loss = self._step(self.state, *data)
        loss.block_until_ready()
        self.start += self.batch_size


def theirs(entry: Entry, batch_size: int) -> Contender:
    """JAX's training of a model, from minae's initial weights."""
    recipe = entry.make()
    recipe.model.bind("numpy", np.float32, recipe.seed)
    run = JaxTraining(recipe.model, recipe.optimizer, *mnist(batch_size), batch_size=batch_size)
    return Contender("jax", run.step, lambda threads: None)
