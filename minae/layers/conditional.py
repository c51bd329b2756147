"""Label conditioning: layers whose bias depends on the class of the sample.

The course's conditional VAE concatenates one-hot label planes to the image before its first
convolution, and a one-hot vector to z before its first dense layer. Either adds, for class c, the
same numbers whatever the image or z: a class bias. So the planes are never made, and the layer
multiplies 1 input channel where the concatenation has 11. Exact, not an approximation; derivation
and check against the concatenation: reference/class_bias.py.
"""

from dataclasses import dataclass, field, replace

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.conv import Conv2d
from minae.layers.dense import Dense
from minae.layers.layer import Batch, Cache, Layer, Parameter, Shape


@dataclass(eq=False)
class ConditionalDense(Dense):
    """y = f([x; one_hot] [w w_label]ᵀ + b) = f(x wᵀ + w_label[:, class] + b).

    x: (N, in_features);  w_label: (out_features, classes). The batch carries the one-hot labels.
    """

    classes: int = 10

    w_label: Array = field(init=False, repr=False)
    dw_label: Array = field(init=False, repr=False)

    def parameters(self) -> dict[str, Parameter]:
        K, classes = self.out_features, self.classes
        plain = super().parameters() | {"w_label": Parameter((K, classes), self.init)}
        fan_in = self.in_features + classes  # that of the concatenation [x; one_hot]
        return {name: replace(p, fan_in=fan_in, fan_out=K) for name, p in plain.items()}

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        _bias_buffers(self, cache, self.out_features, self.classes)
        return cache

    def bias_forward(self, cache: Cache) -> Array:
        return _bias_forward(self, cache, self.w_label, self.b)

    def bias_gradient(self, cache: Cache) -> Array:
        return cache.dbias  # type: ignore[no-any-return]

    def bias_backward(self, cache: Cache) -> None:
        _bias_backward(self, cache, self.dw_label, self.db)


@dataclass(eq=False)
class ConditionalConv2d(Conv2d):
    """y = f([x; label planes] ⋆ [w w_label] + b) = f(x ⋆ w + Σ_{a,b} w_label[:, class, a, b] + b).

    x: (N, in_channels, H, W);  w_label: (out_channels, classes, KH, KW). Padding is refused: a
    padded plane is not constant near the border, and the identity fails there.
    """

    classes: int = 10

    w_label: Array = field(init=False, repr=False)
    dw_label: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.extents()[2]) > 0 or self.groups != 1:
            raise MinaeError(
                "ConditionalConv2d: label planes are a class bias only without padding and with "
                f"groups=1, found padding={self.padding}, groups={self.groups}"
            )

    def parameters(self) -> dict[str, Parameter]:
        K, C, KH, KW = self.weight_shape()
        plain = super().parameters() | {"w_label": Parameter((K, self.classes, KH, KW), self.init)}
        fan_in = (C + self.classes) * KH * KW  # that of the concatenation [x; label planes]
        return {name: replace(p, fan_in=fan_in, fan_out=K * KH * KW) for name, p in plain.items()}

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        _bias_buffers(self, cache, self.out_channels, self.classes)
        cache.table = self.empty((self.out_channels, self.classes))
        return cache

    def bias_forward(self, cache: Cache) -> Array:
        self.ops.class_bias_forward(self.w_label, out=cache.table)  # (K, classes)
        return _bias_forward(self, cache, cache.table, self.b)

    def bias_gradient(self, cache: Cache) -> Array:
        return cache.dbias  # type: ignore[no-any-return]

    def bias_backward(self, cache: Cache) -> None:
        _bias_backward(self, cache, cache.table, self.db)
        self.ops.class_bias_backward(cache.table, out=self.dw_label)


def _bias_buffers(layer: Layer, cache: Cache, K: int, classes: int) -> None:
    one_hot = cache.batch.one_hot
    if one_hot is None or one_hot.shape != (cache.x_shape[0], classes):
        found = None if one_hot is None else one_hot.shape
        raise MinaeError(
            f"{type(layer).__name__} wants a batch with one-hot labels of shape "
            f"{(cache.x_shape[0], classes)}, found {found}"
        )
    cache.one_hot = one_hot
    cache.bias = layer.empty((cache.x_shape[0], K))
    cache.dbias = layer.empty((cache.x_shape[0], K))


def _bias_forward(layer: Layer, cache: Cache, table: Array, b: Array | None) -> Array:
    """bias[n] = table[:, class of n] + b."""
    layer.ops.matmul(cache.one_hot, table, out=cache.bias, transpose_b=True)  # (N, K)
    layer.ops.bias_activation_forward(cache.bias, b, "identity", 0.0, out=cache.bias)
    return cache.bias  # type: ignore[no-any-return]


def _bias_backward(layer: Layer, cache: Cache, dtable: Array, db: Array | None) -> None:
    """dtable[:, c] = Σ of dbias[n] over the samples of class c; db = Σ over all."""
    layer.ops.matmul(cache.dbias, cache.one_hot, out=dtable, transpose_a=True)  # (K, classes)
    layer.ops.bias_activation_backward(
        cache.dbias, cache.bias, "identity", 0.0, dx=cache.dbias, db=db
    )
