"""The importance-weighted bound: k draws of the latent code instead of one.

Symbols: N samples of D pixels, Z latent variables, k draws. t: (N, D) pixels, 0 or 1 (or between);
mean, log_var: (N, Z) of q(z|t);  eps: (k, N, Z) standard normal;  z = mean + σ ⊙ eps with
σ = exp(½ log_var);  logits: (k, N, D) of the decoder's Bernoulli pixels;  log_w: (k, N).

The bound
---------
For any z drawn from q the importance weight w = p(t|z) p(z) / q(z|t) is an unbiased estimate of
p(t), since E_q[w] = ∫ p(t|z) p(z) dz. So is the mean of k of them. The logarithm is concave, so by
Jensen's inequality

    log p(t) >= E log( 1/k Σ_i w_i ) = L_k                                                 (1)

k = 1 is the bound of the VAE. More draws make the mean less noisy and Jensen's gap smaller:
L_1 <= L_2 <= … → log p(t). So the same formula trains (k = 5, say) and, with k = 5000, measures.

The weights
-----------
    log p(t|z) = Σ_d t log σ(a) + (1 - t) log(1 - σ(a)) = -Σ_d bce(a, t),   a the logits
    log p(z)   = -½ Z log 2π - ½ Σ_j z_j²
    log q(z|t) = -½ Z log 2π - ½ Σ_j log_var_j - ½ Σ_j (z_j - mean_j)² / σ_j²
               = -½ Z log 2π - ½ Σ_j log_var_j - ½ Σ_j eps_j²        as z - mean = σ eps

    log w = -Σ_d bce(a, t) - ½ Σ_j ( z_j² - eps_j² - log_var_j )                           (2)

The sum of exponentials
-----------------------
log w is near -90 for a good model and -500 for a new one: exp underflows. With m = max_i log w_i

    log( 1/k Σ_i w_i ) = m + log( 1/k Σ_i exp(log w_i - m) )                               (3)

where one term of the sum is 1 and none is greater.

The gradient
------------
    loss = -scale Σ_n log( 1/k Σ_i w_i )
    ∂loss/∂log w_i = -scale w_i / Σ_j w_j = -scale · w̃_i,   w̃ = softmax over i of log w      (4)

because ∂ log Σ exp / ∂ is the softmax. The draws share one unit of gradient among them, most of it
going to those that explain t well: `weights` = scale · w̃. Then by (2), for each i and n:

    ∂loss/∂a[d]     = weights (σ(a[d]) - t[d])       dlogits, the gradient of the bce, losses.py
    ∂loss/∂z[j]     = weights z[j]                   dz, of the prior; the decoder's is added to it
    ∂loss/∂log_var  = -½ Σ_i weights = -½ scale      of q's own logarithm: the same for all
    (eps is a constant of the draw)

and from z on, through z = mean + σ eps, summed over the draws, as in reparameterization.py:

    dmean = Σ_i dz_i,      dlog_var = -½ scale + Σ_i ½ dz_i ⊙ eps_i ⊙ σ                      (5)

With k = 1, w̃ = 1 and (5) is the VAE's gradient with the KL estimated by its one draw: its closed
form has E[½ z² - ½ eps²] instead. Same mean, a little more noise.

Measuring log p(t)
------------------
-L_5000 on the test set, in batches of draws: keep log w of all draws, or a running (3). It is a
stochastic upper bound on -log p(t), within a few hundredths of a nat when q is a fair match.

Pitfalls
--------
- log of the mean, not mean of the logs: the latter is L_1 again, with k draws.
- The mean divides by k: without -log k the bound is log k too good, 8.5 nats at k = 5000.
- The weights are not constants in the value, but (4) is the whole gradient: nothing is to be
  differentiated through w̃ again.
- Grey pixels: p(t|z) is a probability of black and white. Draw t ~ Bernoulli(x) (gather.py).

Source: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (ICLR 2016).
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error
from reference.losses import bce_with_logits
from reference.reparameterization import reparameterize_backward, reparameterize_forward


def importance_weights_forward(logits, t, z, eps, log_var):
    """(2). logits: (k, N, D);  t: (N, D);  z, eps: (k, N, Z);  log_var: (N, Z). Returns (k, N)."""
    k, N, _ = logits.shape
    bce = [[bce_with_logits(logits[i, n], t[n], 1.0)[0] for n in range(N)] for i in range(k)]
    return -np.array(bce) - 0.5 * np.sum(z * z - eps * eps - log_var, axis=2)


def importance_weights_backward(weights, logits, t, z):
    """Gradients of -Σ weights ⊙ log_w by logits and z. weights: (k, N). Returns (dlogits, dz)."""
    k, N, _ = logits.shape
    dlogits = np.array(
        [
            [bce_with_logits(logits[i, n], t[n], weights[i, n])[1] for n in range(N)]
            for i in range(k)
        ]
    )
    return dlogits, weights[:, :, None] * z


def importance_bound(log_w, scale):
    """(3) and (4): -scale Σ_n log(1/k Σ_i exp(log_w[i,n])). Returns (value, weights (k, N))."""
    m = log_w.real.max(axis=0)  # (N,)
    shares = np.exp(log_w - m)  # (k, N)
    value = -scale * np.sum(m + np.log(shares.mean(axis=0)))
    return value, scale * shares / shares.sum(axis=0)


def iwae_loss(mean, log_var, eps, decoder, t, scale):
    """The loss and its gradients by mean and log_var, for logits = z decoderᵀ, decoder: (D, Z)."""
    z = np.array([reparameterize_forward(mean, log_var, e) for e in eps])  # (k, N, Z)
    logits = z @ decoder.T  # (k, N, D)
    log_w = importance_weights_forward(logits, t, z, eps, log_var)
    value, weights = importance_bound(log_w, scale)
    dlogits, dz = importance_weights_backward(weights, logits, t, z)
    dz = dz + dlogits @ decoder
    dmean, dlog_var = np.zeros_like(mean), np.full_like(log_var, -0.5 * scale)
    for dz_i, eps_i in zip(dz, eps, strict=True):
        dm, ds = reparameterize_backward(dz_i, log_var, eps_i)
        dmean, dlog_var = dmean + dm, dlog_var + ds
    return value, dmean, dlog_var


def demo():
    """L_k rises with k towards log p(t), known here by a sum over a grid; then the gradients."""
    rng = np.random.default_rng(0)
    decoder, t = rng.normal(size=(4, 1)), np.array([[1.0, 0.0, 1.0, 1.0]])
    mean, log_var = np.array([[0.3]]), np.array([[-1.5]])  # no good match, so that L_1 is loose
    grid = np.linspace(-8, 8, 4001)
    bce = np.array([bce_with_logits(z * decoder[:, 0], t[0], 1.0)[0] for z in grid])
    density = np.exp(-bce - 0.5 * grid**2) / np.sqrt(2 * np.pi)
    exact = np.log(np.sum(density) * (grid[1] - grid[0]))
    print("  k      L_k (mean of 4000/k draws)")
    bounds = []
    for k in (1, 5, 50, 1000):
        eps = rng.normal(size=(k, 4000 // k, 1))
        samples = eps.shape[1]
        values = iwae_loss(
            np.repeat(mean, samples, 0), np.repeat(log_var, samples, 0), eps, decoder,
            np.repeat(t, samples, 0), 1 / samples,
        )  # fmt: skip
        bounds.append(-values[0])
        print(f"  {k:4} {bounds[-1]:9.4f}")
    print(f"  log p(t) {exact:.4f}, by a sum over a grid of z")
    assert bounds[0] < bounds[1] < exact + 0.05 and abs(bounds[-1] - exact) < 0.1

    k, N, D, Z, scale = 3, 2, 4, 3, 0.7
    mean, log_var, eps = (
        rng.normal(size=(N, Z)),
        rng.normal(size=(N, Z)),
        rng.normal(size=(k, N, Z)),
    )
    decoder, t = rng.normal(size=(D, Z)), rng.uniform(size=(N, D))
    _, dmean, dlog_var = iwae_loss(mean, log_var, eps, decoder, t, scale)

    def loss(mean, log_var):
        return iwae_loss(mean, log_var, eps, decoder, t, scale)[0]

    error = max(
        relative_error(dmean, complex_step_gradient(lambda m: loss(m, log_var), mean, 1.0)),
        relative_error(dlog_var, complex_step_gradient(lambda s: loss(mean, s), log_var, 1.0)),
    )
    print(f"gradients against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
