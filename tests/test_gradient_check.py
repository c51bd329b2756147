"""minae.gradcheck: passes every right layer, and names what is wrong with a wrong one."""

from dataclasses import dataclass

import numpy as np
import pytest

import minae
from minae import GradientError
from minae.init import Normal
from minae.layers import Dense, Layer, Parameter, Sequential
from tests.examples import BACKENDS, EXAMPLES, classes_of


# ------------------------------------------------------------------ a layer of one's own
@dataclass(eq=False)
class Scale(Layer):
    """y = w ⊙ x + b, feature by feature. x, y: (N, C);  w, b: (C,). Kept for backward: x.

    An example of a layer that is not part of minae: what it trains, the shape of its output, what
    its cache holds, and its two passes, which write into the arrays that they are given.
    """

    features: int

    def parameters(self):
        C = (self.features,)
        return {"w": Parameter(C, Normal(1.0)), "b": Parameter(C, Normal(1.0))}

    def output_shape(self, x_shape):
        return x_shape

    def new_cache(self, x_shape, batch=None, *, needs_dx=True):
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(x_shape)
        return cache

    def forward(self, x, cache):
        cache.x = x
        np.multiply(x, self.w, out=cache.y)
        np.add(cache.y, self.b, out=cache.y)
        return cache.y

    def backward(self, dy, cache):
        np.einsum("nc,nc->c", dy, cache.x, out=self.dw)
        np.sum(dy, axis=0, out=self.db)
        if cache.dx is not None:
            np.multiply(dy, self.w, out=cache.dx)
        return cache.dx


def test_a_layer_of_ones_own():
    report = minae.gradcheck(Scale(4), (3, 4))
    assert report.errors.keys() == {"dx", "dw", "db"}
    assert max(report.errors.values()) < 1e-8
    assert str(report).startswith("dx ")


def test_a_layer_of_ones_own_among_others():
    network = Sequential(Dense(5, 4, activation="tanh"), Scale(4), Dense(4, 2))
    report = minae.gradcheck(network, (3, 5))
    assert [*report.errors] == ["dx", "d0.w", "d0.b", "d1.w", "d1.b", "d2.w", "d2.b"]


# ------------------------------------------------------------------ minae's layers
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_minaes_layers_pass(name, backend):
    make, x_shape = EXAMPLES[name]
    layer = make()
    report = minae.gradcheck(layer, x_shape, backend=backend, classes=classes_of(layer))
    assert max(report.errors.values()) < 1e-6


def test_x_may_be_given():
    """At x = 0 ReLU has no derivative: such an x fails, one away from 0 passes."""
    x = np.linspace(-1, 1, 15).reshape(5, 3).T  # any memory order; its middle element is 0
    layer = minae.layers.Activation("relu")
    with pytest.raises(GradientError, match=r"dx: .* at \(1, 2\) backward gives"):
        minae.gradcheck(layer, (3, 5), x=x)
    minae.gradcheck(layer, (3, 5), x=x + 0.01)
    with pytest.raises(minae.MinaeError, match=r"x has shape \(3, 5\), x_shape says \(3, 4\)"):
        minae.gradcheck(layer, (3, 4), x=x)


def test_many_elements_are_sampled():
    """Of a large array only max_elements are compared, a new choice with each seed."""

    class WrongInOneElement(Scale):
        def backward(self, dy, cache):
            dx = super().backward(dy, cache)
            dx[7, 3] += 1
            return dx

    with pytest.raises(GradientError, match=r"dx: .* at \(7, 3\)"):
        minae.gradcheck(WrongInOneElement(4), (100, 4), max_elements=400)
    found = 0
    for seed in range(20):
        try:
            minae.gradcheck(WrongInOneElement(4), (100, 4), max_elements=200, seed=seed)
        except GradientError:
            found += 1
    assert 0 < found < 20


# ------------------------------------------------------------------ wrong layers
class IgnoresTheUpstreamGradient(Scale):
    def backward(self, dy, cache):
        return super().backward(np.ones_like(dy), cache)


class FlipsTheUpstreamGradient(Scale):
    def backward(self, dy, cache):
        return super().backward(dy[::-1], cache)


class ForgetsTheBias(Scale):
    def backward(self, dy, cache):
        dx = super().backward(dy, cache)
        self.db[:] = 0
        return dx


class Accumulates(Scale):
    def backward(self, dy, cache):
        before = self.dw.copy()
        dx = super().backward(dy, cache)
        self.dw += before
        return dx


class WritesToItsUpstreamGradient(Scale):
    def backward(self, dy, cache):
        super().backward(dy, cache)
        dy *= self.w
        return dy


class WritesToItsInput(Scale):
    def forward(self, x, cache):
        y = super().forward(x, cache)
        x += 1
        return y


class HiddenState(Scale):
    def forward(self, x, cache):
        self.x = x
        return super().forward(x, cache)

    def backward(self, dy, cache):
        cache.x = self.x
        return super().backward(dy, cache)


class HiddenMask(Scale):
    """y = relu(w ⊙ x + b) with the mask kept in the layer."""

    def forward(self, x, cache):
        y = super().forward(x, cache)
        self.mask = y > 0
        y *= self.mask
        return y

    def backward(self, dy, cache):
        return super().backward(dy * self.mask, cache)


class GradientOfAnotherShape(Scale):
    def backward(self, dy, cache):
        return super().backward(dy, cache).T


class OutputOfAnotherShape(Scale):
    def forward(self, x, cache):
        return super().forward(x, cache)[:1]


class NoInputGradient(Scale):
    def backward(self, dy, cache):
        super().backward(dy, cache)


class NotANumber(Scale):
    def backward(self, dy, cache):
        dx = super().backward(dy, cache)
        dx[1, 2] = np.nan
        return dx


class NotNormalizing(Scale):
    """Batch normalization whose backward forgets that the variance depends on x."""

    def forward(self, x, cache):
        cache.x = (x - x.mean(axis=0)) / x.std(axis=0)
        cache.std = x.std(axis=0)
        np.multiply(cache.x, self.w, out=cache.y)
        np.add(cache.y, self.b, out=cache.y)
        return cache.y

    def backward(self, dy, cache):
        super().backward(dy, cache)
        return self.w / cache.std * (dy - dy.mean(axis=0))


class TransposedWeight(Dense):
    def backward(self, dy, cache):
        super().backward(dy, cache)
        self.ops.matmul(dy, self.w, out=cache.dx, transpose_b=True)
        return cache.dx


PLACE = r"at \(\d+, \d+\) backward gives -?\d.*, the difference quotient -?\d"

WRONG = [
    (IgnoresTheUpstreamGradient(4), f"dx: relative error .*, wanted at most 1e-06; {PLACE}"),
    (FlipsTheUpstreamGradient(4), f"dx: relative error .* {PLACE}"),
    (ForgetsTheBias(4), r"db: relative error .* at \(\d,\) backward gives 0,"),
    (Accumulates(4), "dw changes when backward is called again: it must overwrite"),
    (WritesToItsUpstreamGradient(4), "dy was written to"),
    (WritesToItsInput(4), "x was written to"),
    (HiddenState(4), r"dw: relative error .* at \(\d,\)"),
    (HiddenMask(4), f"dx: relative error .* {PLACE}"),
    (GradientOfAnotherShape(4), r"dx: gradient of shape \(4, 5\) for \(5, 4\)"),
    (OutputOfAnotherShape(4), r"y has shape \(1, 4\), but output_shape says \(5, 4\)"),
    (NoInputGradient(4), "backward returned None for dx"),
    (NotANumber(4), r"dx: relative error nan.* at \(1, 2\) backward gives nan"),
    (NotNormalizing(4), f"dx: relative error .* {PLACE}"),
    (TransposedWeight(4, 4), f"dx: relative error .* {PLACE}"),
]


@pytest.mark.parametrize(
    ("layer", "message"), WRONG, ids=[type(layer).__name__ for layer, _ in WRONG]
)
def test_wrong_layers_fail(layer, message):
    with pytest.raises(GradientError, match=message):
        minae.gradcheck(layer, (5, 4))
