"""The contractive autoencoder (Rifai et al. 2011). Derivation: reference/contractive.py."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array, Backend
from minae.errors import MinaeError
from minae.layers import Dense, Sequential
from minae.layers.layer import Cache, Layer
from minae.models.autoencoder import Autoencoder
from minae.models.penalized import PenalizedAutoencoder


@dataclass(eq=False)
class ContractiveAutoencoder(PenalizedAutoencoder):
    """Penalty ‖∂z/∂x‖²_F of each sample, x in pixel_range, z the code; the encoder is one Dense
    layer or a Sequential of them.

    The penalty is a function of every layer's output and weight. Its gradients by these are found
    in forward, from a closed form for one layer and by double backpropagation for more; in backward
    each joins the layer's own.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers = dense_layers(self.encoder)

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        empty, dtype, layers = self.ops.empty, self.parameters.dtype, self.layers
        caches = [cache.encoder] if layers == [self.encoder] else cache.encoder.layers
        if training:
            # layers below another must hand the gradient on that the penalty's part is added to
            cache.dy_penalty = [empty(c.y_shape, dtype) for c in caches]
            cache.dw_penalty = [empty(layer.w.shape, dtype) for layer in layers]
        else:
            cache.dy_penalty = cache.dw_penalty = [None] * len(layers)
        cache.layers = caches
        cache.rows = JacobianRows(self.ops, dtype, samples, layers) if len(layers) > 1 else None
        return cache

    def penalize(self, cache: Cache) -> None:
        scale, value = self.penalty_scale(cache), cache.values["penalty"]
        if cache.rows is None:
            (layer,), (dy,), (dw,) = self.layers, cache.dy_penalty, cache.dw_penalty
            kind = (layer.activation, layer.slope)
            self.ops.contractive_penalty(cache.z, layer.w, *kind, scale, value=value, dy=dy, dw=dw)
            return
        ys = [c.y for c in cache.layers]
        cache.rows.forward(ys)
        cache.rows.square(scale, value)
        if cache.batch.training:
            cache.rows.backward(ys, cache.dy_penalty, cache.dw_penalty)

    def backward(self, cache: Cache) -> None:
        ops = self.ops
        dy = self.decoder.backward(cache.dy, cache.decoder)
        parts = zip(self.layers, cache.layers, cache.dy_penalty, cache.dw_penalty, strict=True)
        for layer, layer_cache, dy_penalty, dw_penalty in reversed([*parts]):
            assert dy is not None
            ops.add(dy, dy_penalty, out=dy)
            dy = layer.backward(dy, layer_cache)
            ops.add(layer.dw, dw_penalty, out=layer.dw)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures over all images, and the mean norm of the code's Jacobian."""
        norm = float(jacobian_norms(self, images).mean())
        return super().evaluate(images) | {"jacobian_norm": norm}


class JacobianRows:
    """The Jacobian of a stack of Dense layers, row by row, and the gradient of its squared norm.

    With K code numbers and K_l outputs of layer l, u[l] (K, N, K_l) holds the gradient of each code
    number by y_l, v[l - 1] that by a_l, so that u[0] (K, N, D) is the Jacobian of each sample.
    """

    def __init__(self, ops: Backend, dtype: npt.DTypeLike, N: int, layers: list[Dense]) -> None:
        self.ops, self.layers = ops, layers
        K = layers[-1].out_features
        shapes = [(K, N, layers[0].in_features), *((K, N, layer.out_features) for layer in layers)]
        units = np.repeat(np.eye(K)[:, None], N, axis=1)  # (K, N, K)
        self.u = [*(ops.empty(shape, dtype) for shape in shapes[:-1]), ops.asarray(units, dtype)]
        self.v = [ops.empty(shape, dtype) for shape in shapes[1:]]
        self.du, self.dv = (
            [ops.empty(shape, dtype) for shape in some] for some in (shapes, shapes[1:])
        )
        self.zero = ops.zeros(shapes[0], dtype)

    def forward(self, ys: list[Array]) -> None:
        """u and v from the outputs of the layers, backpropagating each unit vector of the code."""
        for i in range(len(self.layers), 0, -1):
            layer, u, v = self.layers[i - 1], self.u[i], self.v[i - 1]
            for k in range(len(u)):
                kind = (layer.activation, layer.slope)
                self.ops.bias_activation_backward(u[k], ys[i - 1], *kind, dx=v[k], db=None)
            self.ops.matmul(_flat(v), layer.w, out=_flat(self.u[i - 1]))  # (K·N, K_{i-1})

    def square(self, scale: float, value: Array) -> None:
        """value = scale · Σ u[0]², and its gradient by u[0]."""
        self.ops.mse(self.u[0], self.zero, scale, value=value, dy=self.du[0])

    def backward(self, ys: list[Array], dys: list[Array], dws: list[Array]) -> None:
        """The gradients of that by each layer's output and weight."""
        for i, layer in enumerate(self.layers, 1):
            kind = (layer.activation, layer.slope)
            du, u, y = self.du[i - 1], self.u[i], ys[i - 1]
            v, dv = self.v[i - 1], self.dv[i - 1]
            self.ops.matmul(_flat(du), layer.w, out=_flat(dv), transpose_b=True)  # (K·N, K_i)
            self.ops.matmul(_flat(v), _flat(du), out=dws[i - 1], transpose_a=True)  # (K_i, K_{i-1})
            for k in range(len(u)):
                self.ops.bias_activation_double_backward(
                    dv[k], u[k], y, *kind, dy=dys[i - 1], accumulate=k > 0
                )
                self.ops.bias_activation_backward(dv[k], y, *kind, dx=self.du[i][k], db=None)


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[2])  # (K·N, K_l)


def dense_layers(encoder: Layer) -> list[Dense]:
    """The Dense layers that an encoder consists of. Raises MinaeError if it has others."""
    layers = encoder.layers if isinstance(encoder, Sequential) else [encoder]
    for layer in layers:
        if type(layer) is not Dense:
            raise MinaeError(
                "the Jacobian of an encoder is that of a Dense layer or a Sequential of them, "
                f"found {type(layer).__name__}"
            )
    return [layer for layer in layers if isinstance(layer, Dense)]


def jacobian_norms(model: Autoencoder, images: npt.ArrayLike) -> Array:
    """‖∂z/∂x‖_F of each image (M,), float64, for a model whose encoder is made of Dense layers."""
    layers, ops = dense_layers(model.encoder), model.ops
    norms, rows = [], {}
    for _, cache in model.chunks(images):
        y, N = model.encoder.forward(cache.x, cache.encoder), len(cache.pixels)
        if len(layers) == 1:
            norms.append(_norms_of_one_layer(layers[0], y))
            continue
        if N not in rows:
            rows[N] = JacobianRows(ops, model.parameters.dtype, N, layers)
        rows[N].forward([layer_cache.y for layer_cache in cache.encoder.layers])
        jacobian = ops.to_numpy(rows[N].u[0])  # (K, N, D)
        norms.append(np.sqrt(np.einsum("knd,knd->n", jacobian, jacobian, dtype=np.float64)))
    return np.concatenate(norms)


def _norms_of_one_layer(layer: Dense, y: Array) -> Array:
    """√(Σ_k f'(y[n,k])² ‖w[k]‖²), (N,), on the host."""
    derivative = layer.empty(y.shape)
    one = layer.ops.asarray(np.ones(y.shape), y.dtype)
    layer.ops.bias_activation_backward(
        one, y, layer.activation, layer.slope, dx=derivative, db=None
    )
    w = layer.ops.to_numpy(layer.w).astype(np.float64)
    squares = layer.ops.to_numpy(derivative).astype(np.float64) ** 2  # (N, K)
    norms: Array = np.sqrt(squares @ np.square(w).sum(axis=1))
    return norms
