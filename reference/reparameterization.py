"""The reparameterization: a Gaussian sample as a differentiable function of its mean and variance.

Symbols: mean, log_var, eps, z: (N, Z). Below μ = mean[n, z], λ = log_var[n, z], ε = eps[n, z].
dz is the loss gradient with respect to the sample z.

The problem
-----------
A VAE's encoder does not give a code but a distribution q = N(μ, σ²), σ² = e^λ, and the decoder is
fed a sample of it. Its loss is an average over q, E_{z~q}[f(z)], and we need its gradient with
respect to the parameters μ, λ of q. But "draw z from q" is not a formula in μ and λ: there is
nothing to differentiate.

The way out
-----------
Draw ε from N(0, 1), which has no parameters, and compute

    z = μ + σ ε,            σ = √(e^λ) = e^(λ/2).                                           (1)

This z has the wanted distribution. By the change of variables, with ε = (z - μ)/σ, dε/dz = 1/σ and
φ(ε) = e^(-ε²/2)/√(2π):

    density of z = φ((z - μ)/σ) · 1/σ = e^(-(z - μ)²/(2σ²)) / √(2πσ²).                    q.e.d.

So E_{z~q}[f(z)] = E_ε[f(μ + σ ε)]: the average is now over something fixed, the derivative goes
under it, and one sample of ε gives an unbiased estimate of the gradient. ε is an *input* of the
operation, drawn elsewhere (philox.py): that is what makes forward and backward testable.

    code:   mean + np.exp(0.5 * log_var) * eps

A common mistake is z = μ + e^λ ε. That takes the variance for the standard deviation: at λ = -4 the
sample spreads by 0.018 where the KL term believes 0.135. It trains, and what it trains is not the
bound that is reported. The standard deviation is exp(½ log_var).

Backward
--------
z[n,z] depends on mean[n,z] and log_var[n,z] alone, so the chain rule has one factor each:

    ∂z/∂μ = 1                          dmean    = dz
    ∂z/∂λ = ½ e^(λ/2) ε                dlog_var = dz · ½ e^(λ/2) ε                          (2)

    code:   dlog_var = 0.5 * dz * eps * np.exp(0.5 * log_var)

dlog_var = ½ dz (z - μ): where a sample lies above its mean and the loss wants it higher (dz < 0),
the variance grows.

The two ways to the loss
------------------------
mean and log_var reach the loss twice: through z and the decoder (2), and through the KL term
(gaussian_kl.py). By the chain rule for a variable used twice the gradients add:

    dmean    = dz                 + scale · mean
    dlog_var = ½ dz ε e^(λ/2)     + scale · ½ (e^λ - 1)

A backend's `accumulate=True` adds this part to a KL's part that is there already; here both are
returned, and added in plain sight (vae.py).

Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013), section 2.4.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error
from reference.philox import random_normal


def reparameterize_forward(mean, log_var, eps):
    """mean + exp(½ log_var) ⊙ eps. All (N, Z)."""
    return mean + np.exp(0.5 * log_var) * eps


def reparameterize_backward(dz, log_var, eps):
    """dmean = dz, dlog_var = ½ dz ⊙ eps ⊙ exp(½ log_var). All (N, Z). Returns (dmean, dlog_var)."""
    dmean = dz
    dlog_var = 0.5 * dz * eps * np.exp(0.5 * log_var)
    return dmean, dlog_var


def demo():
    """One sample by hand, the gradients' check, and an average gradient that is known exactly."""
    mean, log_var, eps = np.array([[1.0]]), np.array([[np.log(4.0)]]), np.array([[0.5]])
    z = reparameterize_forward(mean, log_var, eps)
    print(f"mean 1, variance 4, eps ½:  z = 1 + 2 · ½ = {z[0, 0]:.4f}")
    assert np.isclose(z[0, 0], 2.0)

    rng = np.random.default_rng(0)
    mean, log_var, eps, dz = rng.normal(size=(4, 3, 2))  # (N, Z) = (3, 2) each
    dmean, dlog_var = reparameterize_backward(dz, log_var, eps)
    print("relative error of the gradient against the complex step:")
    by_mean = complex_step_gradient(lambda x: reparameterize_forward(x, log_var, eps), mean, dz)
    by_log_var = complex_step_gradient(lambda x: reparameterize_forward(mean, x, eps), log_var, dz)
    for name, found, wanted in (("dmean", dmean, by_mean), ("dlog_var", dlog_var, by_log_var)):
        error = relative_error(found, wanted)
        print(f"  {name:9} {error:.1e}")
        assert error <= 1e-10

    # f(z) = z² has E[f] = μ² + σ², hence ∂E/∂μ = 2μ and ∂E/∂λ = σ² = e^λ. Estimate both: dz = 2z.
    N, mu, lam = 100_000, 0.5, -1.0
    eps = random_normal(seed=0, purpose=3, step=0, rows=np.arange(N), columns=1)
    log_var = np.full((N, 1), lam)
    z = reparameterize_forward(mu, log_var, eps)
    dmean, dlog_var = reparameterize_backward(2 * z, log_var, eps)
    print(f"gradient of E[z²] from {N} samples, and exactly:")
    print(f"  by mean    {dmean.mean():.4f}   2μ  = {2 * mu:.4f}")
    print(f"  by log_var {dlog_var.mean():.4f}   e^λ = {np.exp(lam):.4f}")
    assert abs(dmean.mean() - 2 * mu) < 0.02
    assert abs(dlog_var.mean() - np.exp(lam)) < 0.02


if __name__ == "__main__":
    demo()
