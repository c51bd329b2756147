"""Tied weights: the decoder multiplies by the encoder's weights, transposed."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.init import Initializer, PyTorchDefault, Zeros
from minae.layers import Dense, Sequential
from minae.layers.activation import check_activation
from minae.layers.layer import Batch, Cache, Layer, Parameter, Shape, Strips, expect
from minae.models.autoencoder import Autoencoder


@dataclass(eq=False)
class TransposedDense(Layer):
    """y = f(x w + b), w (in_features, out_features) that of another Dense layer, given by `tie`.

    Its gradient goes to `cache.dw`, to be added to the other layer's. Kept for backward: x and y.
    """

    in_features: int
    out_features: int
    activation: str = "identity"
    slope: float = 0.01
    bias: bool = True
    bias_init: Initializer = field(default_factory=PyTorchDefault)

    b: Array | None = field(init=False, repr=False, default=None)
    db: Array | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        check_activation(self.activation, self.slope)

    def tie(self, owner: Dense) -> None:
        """Use this layer's w. Raises MinaeError if it is not of the transposed shape."""
        if (owner.out_features, owner.in_features) != (self.in_features, self.out_features):
            raise MinaeError(
                f"TransposedDense({self.in_features}, {self.out_features}) is to be tied to "
                f"Dense({self.out_features}, {self.in_features}), "
                f"found Dense({owner.in_features}, {owner.out_features})"
            )
        self.owner = owner

    def parameters(self) -> dict[str, Parameter]:
        C, K = self.in_features, self.out_features
        bias = {"b": Parameter((K,), self.bias_init, fan_in=C, fan_out=K)}
        return bias if self.bias else {}

    def output_shape(self, x_shape: Shape) -> Shape:
        if len(x_shape) != 2 or x_shape[1] != self.in_features:
            raise MinaeError(
                f"TransposedDense({self.in_features}, {self.out_features}) wants inputs of shape "
                f"(N, {self.in_features}), found {x_shape}"
            )
        return (x_shape[0], self.out_features)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(cache.y_shape)
        cache.da = self.empty(cache.y_shape)
        cache.dw = self.empty((self.in_features, self.out_features))
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        cache.x = x
        self.ops.matmul(x, self.owner.w, out=cache.y)  # (N, K)
        self.ops.bias_activation_forward(cache.y, self.b, self.activation, self.slope, out=cache.y)
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        self.ops.bias_activation_backward(
            dy, cache.y, self.activation, self.slope, dx=cache.da, db=self.db
        )
        self.ops.matmul(cache.x, cache.da, out=cache.dw, transpose_a=True)  # (C, K)
        if cache.dx is not None:
            self.ops.matmul(cache.da, self.owner.w, out=cache.dx, transpose_b=True)  # (N, C)
        return cache.dx  # type: ignore[no-any-return]


@dataclass(eq=False)
class Centre(Layer):
    """y = x - mean, with the mean image of the training set, saved with the weights."""

    features: int
    shift: Array = field(init=False, repr=False)  # -mean

    def statistics(self) -> dict[str, Parameter]:
        return {"shift": Parameter((self.features,), Zeros())}

    def output_shape(self, x_shape: Shape) -> Shape:
        return x_shape


@dataclass(eq=False)
class TiedAutoencoder(Autoencoder):
    """An autoencoder of Dense layers whose decoder's weights are the encoder's, transposed: layer i
    of the decoder is tied to layer i from the end of the encoder.

    A tied weight serves twice, so its gradient is the sum of two. With `centred` the mean of the
    training images is taken off every image that enters and added to every one that leaves, as PCA
    does; with identity activations and MSE the code then spans the subspace of the principal
    components.
    """

    centred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        encoder = self.encoder.layers if isinstance(self.encoder, Sequential) else [self.encoder]
        decoder = self.decoder.layers if isinstance(self.decoder, Sequential) else [self.decoder]
        kinds = [type(part) for part in (*encoder, *decoder)]
        if kinds != [Dense] * len(encoder) + [TransposedDense] * len(encoder):
            raise MinaeError(
                "a tied autoencoder has as many TransposedDense layers as Dense ones before them, "
                f"found {', '.join(kind.__name__ for kind in kinds)}"
            )
        self.tied = list(zip(decoder, encoder[::-1], strict=True))
        for transposed, dense in self.tied:
            transposed.tie(dense)  # type: ignore[attr-defined]
        self.centre = Centre(int(np.prod(self.input_shape))) if self.centred else None

    def networks(self) -> dict[str, Layer]:
        networks = super().networks()
        return networks if self.centre is None else networks | {"centre": self.centre}

    def prepare(self, images: npt.ArrayLike) -> None:
        """Take the mean of these images, which are those of the training set."""
        if self.centre is None:
            return
        images = np.asarray(images)
        mean = images.reshape(len(images), -1).mean(axis=0, dtype=np.float64)  # (D,)
        low, high = self.pixel_range
        mean = low + (high - low) * mean / (255 if images.dtype == np.uint8 else 1)
        self.parameters.assign("centre.shift", -mean)

    def strips(self, images: Array, samples: int) -> Strips | None:
        """None where the mean is taken off: hardly a pixel is then 0."""
        return None if self.centred else super().strips(images, samples)

    def gather(self, images: Array, labels: Array | None, cache: Cache) -> None:
        super().gather(images, labels, cache)
        if self.centre is not None:
            x = cache.pixels
            self.ops.bias_activation_forward(x, self.centre.shift, "identity", 0.0, out=x)

    def host_pixels(self, cache: Cache) -> Array:
        pixels = super().host_pixels(cache)
        if self.centre is None:
            return pixels
        low, high = self.pixel_range
        return pixels - self.ops.to_numpy(self.centre.shift) / (high - low)

    def backward(self, cache: Cache) -> None:
        super().backward(cache)
        caches = cache.decoder.layers if isinstance(self.decoder, Sequential) else [cache.decoder]
        for (_, dense), layer_cache in zip(self.tied, caches, strict=True):
            dw = dense.dw  # type: ignore[attr-defined]
            self.ops.add(dw, layer_cache.dw, out=dw)
