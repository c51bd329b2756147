"""Layers one after the other."""

from minae.backends.spec import Array
from minae.layers.layer import Batch, Cache, Layer, Shape


class Sequential(Layer):
    """y = layers[-1](... layers[0](x)); backward runs them in reverse.

    The cache holds one cache a layer, `cache.layers`.
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers = list(layers)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    def sublayers(self) -> list[Layer]:
        return self.layers

    def output_shape(self, x_shape: Shape) -> Shape:
        for layer in self.layers:
            x_shape = layer.output_shape(x_shape)
        return x_shape

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        batch = batch or Batch.first(self.ops, x_shape[0])
        cache = Cache(batch=batch, x_shape=x_shape, layers=[])
        for layer in self.layers:
            # a layer need not hand dx on if neither the caller nor a layer before it reads it
            wanted = needs_dx or any(_trains(before) for before in self.layers[: len(cache.layers)])
            cache.layers.append(layer.new_cache(x_shape, batch, needs_dx=wanted))
            x_shape = layer.output_shape(x_shape)
        cache.y_shape = x_shape
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        for layer, layer_cache in zip(self.layers, cache.layers, strict=True):
            x = layer.forward(x, layer_cache)
        return x

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        gradient: Array | None = dy
        for layer, layer_cache in zip(self.layers[::-1], cache.layers[::-1], strict=True):
            if gradient is None:  # nothing before this layer trains
                break
            gradient = layer.backward(gradient, layer_cache)
        return gradient


def _trains(layer: Layer) -> bool:
    return bool(layer.parameters()) or any(map(_trains, layer.sublayers()))
