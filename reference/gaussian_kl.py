"""The Kullback-Leibler divergence of a diagonal Gaussian from the standard normal.

Symbols: mean, log_var: (N, Z), for N samples and Z latent variables. Below, μ = mean[n, z],
λ = log_var[n, z], and σ² = e^λ is the variance. E_q is the average over q.

The definition
--------------
    KL(q ‖ p) = ∫ q(z) log( q(z) / p(z) ) dz = E_q[ log q(z) - log p(z) ]                  (1)

It is the number of nats wasted by coding samples of q with a code made for p; it is >= 0, and 0
only for q = p. In a VAE q is the encoder's N(mean, diag e^log_var) for one sample and p the prior
N(0, 1).

Both densities are products over the Z latent variables, so both logarithms are sums, and the
divergence is a sum of Z one-dimensional ones. One dimension is enough.

The integral
------------
    log q(z) = -½ log 2π - ½ λ - (z - μ)² / (2σ²)
    log p(z) = -½ log 2π       -  z² / 2

Two moments of q are all that is needed:

    E_q[(z - μ)²] = σ²                                     (the variance)
    E_q[z²] = E_q[(z - μ)²] + 2μ E_q[z - μ] + μ² = σ² + 0 + μ²

Put them in (1); the constants ½ log 2π cancel:

    KL = ( -½ λ - σ²/(2σ²) ) + ½ (σ² + μ²) = ½ ( μ² + e^λ - 1 - λ ).                       (2)

Check: μ = λ = 0 gives ½(0 + 1 - 1 - 0) = 0. And e^λ >= 1 + λ shows that it is never negative.

    value = scale · Σ_{n,z} ½ ( mean² + e^log_var - 1 - log_var )

    code:   value = scale * 0.5 * np.sum(mean * mean + np.expm1(log_var) - log_var)

The gradients
-------------
Each (n, z) occurs in one term only:

    ∂KL/∂μ = μ                             code:   dmean = scale * mean
    ∂KL/∂λ = ½ (e^λ - 1)                   code:   dlog_var = scale * 0.5 * np.expm1(log_var)

Read them as forces: the first is a spring that pulls every mean to 0, the second pulls every
variance to 1, weakly from below (at most ½, as λ → -∞) and ever harder from above.

Pitfalls
--------
- λ is the log-VARIANCE. The encoder gives a logarithm because it may be any real number, while a
  variance may not. Feeding log σ instead (λ = 2 log σ) trains without complaint towards another q.
- The reduction. The bound on the log-likelihood adds KL summed over Z to BCE summed over pixels.
  With scale = 1/N for both the unit is nats an image. The mean over Z, or BCE averaged over pixels
  beside this sum, amounts to a β that nobody chose.
- If the KL of a latent variable is near 0 for every sample, the decoder ignores it ("collapse").
- expm1(λ) = e^λ - 1 keeps its digits near λ = 0, where exp(λ) - 1 loses them. e^λ overflows above
  λ = 88 in float32 and 709 in float64: large initial weights are enough to get there.

Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013), appendix B.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def gaussian_kl(mean, log_var, scale):
    """scale · ½ Σ (mean² + exp(log_var) - 1 - log_var).

    That is scale · KL(N(mean, exp(log_var)) ‖ N(0, 1)). mean, log_var: (N, Z).
    Returns (value, dmean, dlog_var).
    """
    value = scale * 0.5 * np.sum(mean * mean + np.expm1(log_var) - log_var)
    dmean = scale * mean
    dlog_var = scale * 0.5 * np.expm1(log_var)
    return value, dmean, dlog_var


def demo():
    """The closed form beside the integral it came from, and the gradients' check."""
    z = np.linspace(-30, 30, 60001)  # (1) as a sum over a fine grid
    print("  mean  log_var   closed form   ∫ q log(q/p) dz")
    for mean, log_var in ((0.0, 0.0), (1.0, 0.0), (0.0, -2.0), (-1.5, 1.0)):
        log_q = -0.5 * (np.log(2 * np.pi) + log_var + (z - mean) ** 2 / np.exp(log_var))
        log_p = -0.5 * (np.log(2 * np.pi) + z**2)
        integral = np.sum(np.exp(log_q) * (log_q - log_p)) * (z[1] - z[0])
        closed = gaussian_kl(np.array([[mean]]), np.array([[log_var]]), 1.0)[0]
        print(f"  {mean:4} {log_var:8} {closed:13.9f} {integral:17.9f}")
        assert abs(closed - integral) < 1e-9

    rng = np.random.default_rng(0)
    mean, log_var, scale = rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), rng.normal()
    _, dmean, dlog_var = gaussian_kl(mean, log_var, scale)
    print("relative error of the gradient against the complex step:")
    by_mean = complex_step_gradient(lambda x: gaussian_kl(x, log_var, scale)[0], mean, 1.0)
    by_log_var = complex_step_gradient(lambda x: gaussian_kl(mean, x, scale)[0], log_var, 1.0)
    for name, found, wanted in (("dmean", dmean, by_mean), ("dlog_var", dlog_var, by_log_var)):
        error = relative_error(found, wanted)
        print(f"  {name:9} {error:.1e}")
        assert error <= 1e-10


if __name__ == "__main__":
    demo()
