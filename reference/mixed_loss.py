"""One loss for records of numbers and of words, and for maps of tiles.

A sample has C channels at each of L places: a record has L = 1, a tile map L = H·W. The first
`numeric` channels are numbers; the others fall into groups, each the one-hot code of a word (of a
protocol, of a kind of tile). Symbols: y, t: (N, C, L), C = numeric + Σ sizes of the groups.
δ[d,e] is 1 if d = e, else 0. Unit of the value: nats.

The definition
--------------
The decoder's y[n,:,l] names a distribution of each feature, all independent:

    a number   t[d] ~ N(y[d], 1):            -log p = ½ (y[d] - t[d])² + ½ log 2π         (1)
    a word     P(word d) = p[d] = e^y[d] / Σ_e∈g e^y[e]:                                  (2)
               -log p = -Σ_d∈g t[d] log p[d],  t one-hot in g

(The numbers are standardized, so that 1 is the variance of the data: a number that the decoder
knows nothing of costs ½ nat more than its constant.) The constant ½ log 2π is left out. With
log p[d] = y[d] - logsumexp(y[g]) and T[g] = Σ_d∈g t[d], which is 1 for a one-hot t,

    value = scale · Σ_n,l { ½ Σ_d<numeric (y - t)² + Σ_g (T[g] logsumexp(y[g]) - Σ_d∈g t[d] y[d]) }.

T is kept, so that a group without a word (all t = 0: the feature is missing) costs nothing, and so
that soft targets are allowed.

The gradient
------------
Channels of different features do not meet in a term, so each is differentiated alone. A number:

    ∂/∂y ½ (y - t)² = y - t.

A word: the gradient of logsumexp is the softmax p (softmax_cross_entropy.py (3)), so

    ∂/∂y[d] ( T logsumexp(y) - Σ_e t[e] y[e] ) = T p[d] - t[d],                            (3)

which for one-hot t is p - t, the same form as y - t of a number: both are a mean less a target,
as for every distribution of an exponential family with its natural parameter.

    code:   dy[:, :numeric] = scale * difference
            dy[:, g] = scale * (T * e / s - t[:, g])

Numerics: as in softmax_cross_entropy.py, the largest logit of a group is subtracted first. With
s = Σ_e e^(y[e] - m),

    T logsumexp(y) - Σ t y = T log s - Σ_d t[d] (y[d] - m).

In the code e / s is the softmax. The sum of (3) over a group is T - T = 0, whatever y.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def mixed_loss(y, t, numeric, groups, scale):
    """scale · Σ of ½ (y - t)² over numbers and of the cross-entropy over groups.

    y, t: (N, C, L);  groups: sizes, C = numeric + Σ groups. Returns (value, dy).
    """
    dy = np.zeros_like(y)
    difference = y[:, :numeric] - t[:, :numeric]  # (N, numeric, L)
    value = 0.5 * np.sum(difference**2)
    dy[:, :numeric] = scale * difference
    start = numeric
    for size in groups:
        g = slice(start, start + size)
        shifted = y[:, g] - y[:, g].real.max(axis=1, keepdims=True)  # (N, size, L), <= 0
        e = np.exp(shifted)
        s = e.sum(axis=1, keepdims=True)  # (N, 1, L)
        T = t[:, g].sum(axis=1, keepdims=True)  # (N, 1, L)
        value = value + np.sum(T * np.log(s)) - np.sum(t[:, g] * shifted)
        dy[:, g] = scale * (T * e / s - t[:, g])
        start += size
    return scale * value, dy


def mixed_output(y, numeric, groups):
    """What the decoder says: numbers as they are, each group as probabilities. y: (N, C, L)."""
    out = y.copy()
    start = numeric
    for size in groups:
        g = slice(start, start + size)
        e = np.exp(y[:, g] - y[:, g].max(axis=1, keepdims=True))  # (N, size, L)
        out[:, g] = e / e.sum(axis=1, keepdims=True)
        start += size
    return out


def demo():
    """A record of two numbers and a word of three by hand, and the gradient's check."""
    y = np.concatenate([[1.0, 2.0], np.log([1.0, 2.0, 1.0])]).reshape(1, 5, 1)
    t = np.array([0.0, 2.0, 0.0, 1.0, 0.0]).reshape(1, 5, 1)
    value, dy = mixed_loss(y, t, 2, (3,), 1.0)
    print("numbers 1 and 2 for 0 and 2; words ¼ ½ ¼ for the second")
    print(f"value {value:.6f} = ½ + log 2")
    print("dy   ", dy.ravel().round(4).tolist())
    assert np.isclose(value, 0.5 + np.log(2))
    assert np.allclose(dy.ravel(), [1, 0, 1 / 4, -1 / 2, 1 / 4])

    rng = np.random.default_rng(0)
    y, scale = rng.normal(size=(4, 7, 3)), rng.normal()
    t = rng.normal(size=y.shape)
    t[:, 2:] = rng.random((4, 5, 3))  # soft targets: T is not 1
    wanted = complex_step_gradient(lambda x: mixed_loss(x, t, 2, (3, 2), scale)[0], y, 1.0)
    error = relative_error(mixed_loss(y, t, 2, (3, 2), scale)[1], wanted)
    print(f"relative error of the gradient against the complex step: {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
