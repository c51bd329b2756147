"""Batch normalization: every input moves the mean and the variance that it is normalized by.

Symbols: N samples, C channels, H×W positions (none after a dense layer), M = N·H·W > 1 numbers a
channel.      x, y, dy, dx: (N, C) or (N, C, H, W)      gamma, beta, mean, var, inv_std: (C,)

Forward, in training
--------------------
Each channel is treated by itself; its M numbers are called x_m below, μ is the mean, v the biased
variance, r the inverse standard deviation:

    μ = 1/M Σ_m x_m
    v = 1/M Σ_m (x_m - μ)²
    r = (v + eps)^(-1/2)
    x̂_m = (x_m - μ) r
    y_m = gamma x̂_m + beta

For backward we keep μ and r, one number a channel each, and compute x̂ again from x.

Forward, in inference
---------------------
One sample must not depend on its batch, so running averages take the place of μ and v. Training
updates them, with u = M/(M - 1) v, the *unbiased* variance (PyTorch's rule: normalize by the biased
one, remember the unbiased one):

    running_mean = (1 - momentum) running_mean + momentum μ
    running_var  = (1 - momentum) running_var  + momentum u

    y = gamma (x - running_mean) (running_var + eps)^(-1/2) + beta

They are records, not part of the loss: no gradient flows into them.

Backward: gamma and beta
------------------------
    dbeta  = Σ_m dy_m ∂y_m/∂beta  = Σ_m dy_m
    dgamma = Σ_m dy_m ∂y_m/∂gamma = Σ_m dy_m x̂_m

Backward: x
-----------
x_i reaches every y_m of its channel by three ways: directly (m = i), through μ, through v. Work
from the inside out; δ_mi = 1 if m = i, else 0.

    ∂μ/∂x_i = 1/M

    ∂v/∂x_i = 2/M Σ_m (x_m - μ) (δ_mi - 1/M)
            = 2/M (x_i - μ) - 2/M² Σ_m (x_m - μ)
            = 2/M (x_i - μ)                               since Σ_m (x_m - μ) = 0

    ∂r/∂x_i = -1/2 (v + eps)^(-3/2) ∂v/∂x_i               (v + eps)^(-3/2) = r³
            = -1/M r³ (x_i - μ)
            = -1/M r² x̂_i                                 since (x_i - μ) r = x̂_i

    ∂x̂_m/∂x_i = r ∂(x_m - μ)/∂x_i + (x_m - μ) ∂r/∂x_i
              = r (δ_mi - 1/M) - 1/M (x_m - μ) r² x̂_i
              = r (δ_mi - 1/M - 1/M x̂_m x̂_i)              since (x_m - μ) r = x̂_m

Three terms, for the three ways. Now the chain rule; the sums that appear are dbeta and dgamma:

    dx_i = Σ_m dy_m gamma ∂x̂_m/∂x_i
         = gamma r (Σ_m dy_m δ_mi - 1/M Σ_m dy_m - 1/M x̂_i Σ_m dy_m x̂_m)
         = gamma r (dy_i - dbeta/M - x̂_i dgamma/M)

which is the line of code.

What it means
-------------
x ↦ x + constant does not change y, so dx has no component along the constant: Σ_i dx_i = 0.
x ↦ constant · x does not change y either (but for eps), so Σ_i x̂_i dx_i is 0 but for eps. Backward
subtracts from dy its parts along 1 and along x̂, and scales what is left.

Pitfalls
--------
- The variance term, -x̂ dgamma/M, is the one that is forgotten. The shapes stay right, training goes
  on, and with dy = 1 nothing shows: then dgamma = Σ x̂ = 0, and dx = 0 with the term or without.
- M counts all of N, H, W, not N alone.
- v as 1/M Σ x² - μ² cancels when |μ| is large beside the standard deviation: subtract μ first.
- Biased variance in y, unbiased in running_var. eps is inside the root.
- `momentum` weighs the *new* value here (PyTorch); elsewhere it weighs the old.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def over_channels(values, x):
    """(C,) to the shape that broadcasts against x: (C,) or (C, 1, 1)."""
    return values.reshape(values.shape + (1,) * (x.ndim - 2))


def batch_norm_forward(x, gamma, beta, running_mean, running_var, momentum, eps):
    """(y, mean, inv_std, new_running_mean, new_running_var), nothing written to.

    x, y: (N, C) or (N, C, H, W);  all others (C,);  momentum, eps: numbers.
    """
    axes = (0, *range(2, x.ndim))  # all but the channels
    M = x.size // x.shape[1]
    if M < 2:
        raise ValueError(f"{M} number a channel has no variance; training needs N·H·W > 1")
    mean = x.sum(axis=axes) / M
    centred = x - over_channels(mean, x)
    var = (centred * centred).sum(axis=axes) / M
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = centred * over_channels(inv_std, x)
    y = over_channels(gamma, x) * x_hat + over_channels(beta, x)
    new_running_mean = (1 - momentum) * running_mean + momentum * mean
    new_running_var = (1 - momentum) * running_var + momentum * (var * M / (M - 1))
    return y, mean, inv_std, new_running_mean, new_running_var


def batch_norm_inference(x, gamma, beta, running_mean, running_var, eps):
    """y = gamma (x - running_mean) (running_var + eps)^(-1/2) + beta. Shapes as above."""
    x_hat = (x - over_channels(running_mean, x)) / np.sqrt(over_channels(running_var, x) + eps)
    return over_channels(gamma, x) * x_hat + over_channels(beta, x)


def batch_norm_backward(dy, x, gamma, mean, inv_std):
    """(dx, dgamma, dbeta), dx = gamma inv_std (dy - dbeta/M - x̂ dgamma/M).

    dy, x, dx: (N, C) or (N, C, H, W);  all others (C,).
    """
    axes = (0, *range(2, x.ndim))  # all but the channels
    M = x.size // x.shape[1]
    x_hat = (x - over_channels(mean, x)) * over_channels(inv_std, x)
    dbeta = dy.sum(axis=axes)
    dgamma = (dy * x_hat).sum(axis=axes)
    dx = over_channels(gamma * inv_std, x) * (
        dy - over_channels(dbeta, x) / M - x_hat * over_channels(dgamma, x) / M
    )
    return dx, dgamma, dbeta


def demo():
    """One channel of four samples, mean 3 and variance 4; then the check on random numbers."""
    x, dy = np.array([[1.0], [1.0], [5.0], [5.0]]), np.array([[1.0], [0.0], [0.0], [0.0]])
    gamma, beta, running_mean, running_var = (np.array([v]) for v in (2.0, 1.0, 0.0, 1.0))
    y, mean, inv_std, new_mean, new_var = batch_norm_forward(
        x, gamma, beta, running_mean, running_var, 0.1, 0.0
    )
    dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma, mean, inv_std)
    with np.printoptions(precision=4, suppress=True):
        print(f"x = {x[:, 0]},  gamma {gamma}, beta {beta}, eps 0")
        print(f"mean {mean}, inv_std {inv_std},  y = 2 x̂ + 1 = {y[:, 0]}")
        print(f"running mean {running_mean} -> {new_mean},  running var {running_var} -> {new_var}")
        print(f"    unbiased variance 4·4/3 = 5.3333, 0.9·1 + 0.1·5.3333 = {new_var[0]:.4f}\n")
        print(f"dy = {dy[:, 0]}\ndbeta = {dbeta}, dgamma = {dgamma}\ndx = {dx[:, 0]}")
        print("    dx_0 = 2·½·(1 - 1/4 - (-1)(-1)/4) = 0.5;  Σ dx = 0,  Σ x̂ dx = 0\n")

    rng = np.random.default_rng(0)
    x, dy = rng.normal(2, 3, size=(3, 2, 2, 4)), rng.normal(size=(3, 2, 2, 4))
    gamma, beta = rng.normal(size=2), rng.normal(size=2)

    def forward(x, gamma, beta):
        return batch_norm_forward(x, gamma, beta, np.zeros(2), np.ones(2), 0.1, 1e-5)

    _, mean, inv_std, _, _ = forward(x, gamma, beta)
    dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma, mean, inv_std)
    error = max(
        relative_error(dx, complex_step_gradient(lambda x: forward(x, gamma, beta)[0], x, dy)),
        relative_error(
            dgamma, complex_step_gradient(lambda gamma: forward(x, gamma, beta)[0], gamma, dy)
        ),
        relative_error(
            dbeta, complex_step_gradient(lambda beta: forward(x, gamma, beta)[0], beta, dy)
        ),
    )
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
