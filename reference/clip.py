"""Gradient clipping by norm: a bound on the length of the gradient that keeps its direction.

Symbols: dw: (P,), the gradient of all parameters in one vector. c = max_norm > 0.

Derivation
----------
Wanted: the vector nearest to dw whose length is at most c. If ‖dw‖ <= c that is dw itself.
Otherwise it lies on the sphere ‖x‖ = c, and there

    ‖x - dw‖² = c² - 2 Σ_i x_i dw_i + ‖dw‖²

is least where Σ_i x_i dw_i is largest, which is (Cauchy-Schwarz) where x is parallel to dw:
x = s dw with ‖s dw‖ = c, so s = c/‖dw‖. Both cases in one line:

    dw' = dw · min(1, c/‖dw‖)           ‖dw‖ = √(Σ_i dw_i²)                                 (1)

    code:   norm = float(np.sqrt(np.sum(np.square(dw, dtype=np.float64))))
            dw = dw * min(1.0, max_norm / (norm + 1e-6))

The 1e-6 avoids 0/0 for a gradient of zeros, and makes the clipped length c · norm/(norm + 1e-6), a
little under c. PyTorch has the same constant.

Pitfalls
--------
- The norm is that of ALL parameters together. Clipping layer by layer changes the direction.
- Clipping each *element* to [-c, c] changes the direction, too.
- The sum of squares is taken in double precision: in float32 it overflows from elements of 1.8e19
  on, and with millions of parameters it loses digits.
- If dw has a NaN, so has the norm; clipping cannot mend it. Look at the norm that is returned.
- Clip after the whole gradient is there (all terms of the loss, all processes), before the
  optimizer.

Source: Pascanu, Mikolov, Bengio, On the difficulty of training recurrent neural networks (2013).
"""

import numpy as np


def clip_by_norm(dw, max_norm):
    """dw · min(1, max_norm / (norm + 1e-6)). dw: (P,). Returns (dw, norm), norm before clipping."""
    norm = float(np.sqrt(np.sum(np.square(dw, dtype=np.float64))))
    dw = dw * min(1.0, max_norm / (norm + 1e-6))
    return dw, norm


def demo():
    """The 3-4-5 triangle, clipped and not, and the direction kept."""
    dw = np.array([3.0, 4.0])
    for max_norm in (10.0, 1.0):
        clipped, norm = clip_by_norm(dw, max_norm)
        print(f"dw {dw}, norm {norm}, max_norm {max_norm}: {clipped.round(6)}")
        assert norm == 5.0
        assert np.allclose(clipped, dw * min(1, max_norm / 5), rtol=1e-6)
    cosine = dw @ clipped / (np.linalg.norm(dw) * np.linalg.norm(clipped))
    print(f"cosine between dw and its clipped self: {cosine:.12f}")
    assert np.isclose(cosine, 1)
    print(f"a gradient of zeros stays: {clip_by_norm(np.zeros(2), 1.0)[0]}")

    rng = np.random.default_rng(0)
    dw = rng.normal(0, 3, 5)
    nearest, _ = clip_by_norm(dw, 1.0)
    others = rng.normal(size=(1000, 5))
    others /= np.linalg.norm(others, axis=1, keepdims=True)  # a thousand other vectors of length 1
    closest = np.linalg.norm(others - dw, axis=1).min()
    print(f"distance to dw: clipped {np.linalg.norm(nearest - dw):.4f}, best other {closest:.4f}")
    assert np.linalg.norm(nearest - dw) < closest


if __name__ == "__main__":
    demo()
