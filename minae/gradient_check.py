"""Check a backward pass against its forward pass: yours, or one of minae's.

Method. L(x, θ) = Σ dy ⊙ forward(x, θ) with a random dy, so that ∂L/∂y = dy. Each derivative that
backward returns is compared with the central difference (L(θ + h) - L(θ - h)) / 2h in float64,
whose error is about h² |L'''| / 6 + 10⁻¹⁶ |L| / h, smallest near h = 10⁻⁵. A dy of ones would pass
many wrong backward passes (a flipped or ignored dy, batch normalization without its variance term).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minae.backends import get_backend
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Batch, Layer, Shape
from minae.parameters import Parameters

STEP = 1e-5


class GradientError(AssertionError):
    """A backward pass that does not belong to its forward pass."""


@dataclass(frozen=True)
class GradientReport:
    """Largest relative error of each gradient, ‖backward - difference‖ / ‖difference‖."""

    errors: dict[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {error:.1e}" for name, error in self.errors.items())


def gradcheck(
    layer: Layer,
    x_shape: Shape,
    *,
    backend: str = "numpy",
    seed: int = 0,
    tolerance: float = 1e-6,
    x: Array | None = None,
    classes: int | None = None,
    max_elements: int = 200,
) -> GradientReport:
    """Check dx and every parameter's gradient of a layer (or a Sequential of them).

    x_shape: shape of the input with N. x: the input itself, where a random N(0, 1) one will not do
    (keep away from kinks: at x = 0 ReLU has no derivative; the difference would straddle it).
    classes: give the batch random one-hot labels, for layers with label conditioning.
    max_elements: of a larger array this many elements, chosen at random, are compared.

    Also checked: forward and backward leave x and dy as they were; a forward pass of another x in
    another cache does not disturb the backward pass of the first; a second backward gives the same
    gradients (overwrites, not adds); y has the shape that output_shape says. The layer is bound
    anew, to float64 and fresh weights: check a layer before it joins a model, or a copy of it.
    Raises GradientError that names the array, the place and both values.
    """
    ops = get_backend(backend)
    rng = np.random.default_rng(seed)
    parameters = Parameters({"layer": layer}, ops, np.float64, seed)
    batch = Batch.first(ops, x_shape[0], seed=seed)
    if classes is not None:
        labels = ops.asarray(rng.integers(0, classes, x_shape[0]), np.int64)
        batch.one_hot = ops.empty((x_shape[0], classes), np.float64)
        ops.one_hot(labels, out=batch.one_hot)
    host_x = rng.standard_normal(x_shape) if x is None else np.array(x, float, order="C")
    if host_x.shape != tuple(x_shape):
        raise MinaeError(f"x has shape {host_x.shape}, x_shape says {tuple(x_shape)}")
    cache, other = (layer.new_cache(tuple(x_shape), batch) for _ in range(2))
    host_dy = rng.standard_normal(cache.y_shape)
    dy = ops.asarray(host_dy.copy())

    def loss() -> float:
        y = layer.forward(ops.asarray(host_x), other)
        return float(np.sum(host_dy * ops.to_numpy(y)))

    device_x = ops.asarray(host_x.copy())
    y = layer.forward(device_x, cache)
    if y.shape != cache.y_shape:
        raise GradientError(f"y has shape {y.shape}, but output_shape says {cache.y_shape}")
    # another x, made of the same numbers, so that it is as fit for the layer as x is
    layer.forward(ops.asarray(0.5 * rng.permutation(host_x.ravel()).reshape(x_shape)), other)
    first = _backward(layer, dy, cache, parameters)
    again = _backward(layer, dy, cache, parameters)
    _unchanged("x", host_x, ops.to_numpy(device_x))
    _unchanged("dy", host_dy, ops.to_numpy(dy))
    for name, gradient in first.items():
        if not np.array_equal(gradient, again[name], equal_nan=True):
            raise GradientError(f"{name} changes when backward is called again: it must overwrite")

    errors = {"dx": _compare("dx", first["dx"], host_x, loss, None, rng, max_elements, tolerance)}
    for path, view in parameters.views.items():
        name = _name(path)
        values = ops.to_numpy(view)

        def write(path: str = path, values: Array = values) -> None:
            parameters.assign(path, values)

        errors[name] = _compare(
            name, first[name], values, loss, write, rng, max_elements, tolerance
        )
    return GradientReport(errors)


def _backward(layer: Layer, dy: Array, cache, parameters: Parameters) -> dict[str, Array]:  # type: ignore[no-untyped-def]
    ops = parameters.ops
    dx = layer.backward(dy, cache)
    if dx is None:
        raise GradientError("backward returned None for dx though the cache asks for it")
    gradients = {_name(path): ops.to_numpy(d) for path, d in parameters.gradient_views.items()}
    return {"dx": ops.to_numpy(dx), **gradients}


def _name(path: str) -> str:
    """How a gradient is called: dw, or d0.w for the w of a Sequential's first layer."""
    return "d" + path.removeprefix("layer.")


def _unchanged(name: str, before: Array, after: Array) -> None:
    if not np.array_equal(before, after):
        raise GradientError(f"{name} was written to; a layer must leave it as it was")


def _compare(
    name: str,
    gradient: Array,
    values: Array,
    loss: Callable[[], float],
    write: Callable[[], None] | None,
    rng: np.random.Generator,
    max_elements: int,
    tolerance: float,
) -> float:
    """Relative error over (a sample of) the elements; `write` hands changed values to the layer."""
    if gradient.shape != values.shape:
        raise GradientError(f"{name}: gradient of shape {gradient.shape} for {values.shape}")
    chosen = rng.permutation(values.size)[:max_elements]
    backward, difference = gradient.ravel()[chosen], np.empty(len(chosen))
    flat = values.reshape(-1)  # a view: both arrays are made here and contiguous
    for i, place in enumerate(chosen):
        kept = flat[place]
        sides = []
        for sign in (1, -1):
            flat[place] = kept + sign * STEP
            if write is not None:
                write()
            sides.append(loss())
        flat[place] = kept
        difference[i] = (sides[0] - sides[1]) / (2 * STEP)
    if write is not None:
        write()
    scale = max(float(np.linalg.norm(difference)), 1e-3)
    error = float(np.linalg.norm(backward - difference)) / scale
    if not error <= tolerance:
        worst = int(np.argmax(np.abs(backward - difference)))
        index = tuple(int(i) for i in np.unravel_index(chosen[worst], values.shape))
        raise GradientError(
            f"{name}: relative error {error:.1e}, wanted at most {tolerance:.0e}; at {index} "
            f"backward gives {backward[worst]:.6g}, the difference quotient {difference[worst]:.6g}"
        )
    return error
