"""Elementwise losses: binary cross-entropy (on logits and on probabilities), squared and absolute.

Symbols: a: logits, p: probabilities, y: predictions, t: targets, all of one shape, e.g. (N, D):
N samples of D elements. Index i runs over every element. σ(a) = 1 / (1 + e^-a). log is natural, so
log-likelihoods are in nats.

What a loss returns: value, gradient, and its reduction
-------------------------------------------------------
A loss is a number. Each one here is

    value = scale · Σ_i ℓ(y_i, t_i)                                              (a number)

and, because it is the end of the network, no gradient arrives from above: ∂value/∂value = 1.
Element j of y occurs in term j of the sum only, so

    ∂value/∂y_j = scale · Σ_i ∂ℓ(y_i, t_i)/∂y_j = scale · ℓ'(y_j, t_j)           (shape of y)

and value and gradient come from one pass over the data. `scale` IS the reduction:

    scale     name                unit of BCE            unit of squared error
    1         sum                 nats (whole batch)     squared pixel units (whole batch)
    1/N       mean over samples   nats an image          squared error an image
    1/(N·D)   mean over elements  nats a pixel           squared error a pixel

The gradients differ by the same factor: a learning rate found with one reduction is wrong by
D = 784 with another (less so with Adam, which divides it out), and a β·KL beside a *mean* over
pixels weighs D times what it weighs beside a sum. A loss figure without its reduction says nothing.

Binary cross-entropy from the Bernoulli likelihood
--------------------------------------------------
A decoder that says "pixel i is white with probability p_i" gives the binary picture t the
probability Π_i p_i^t_i (1 - p_i)^(1 - t_i). Its negative logarithm is

    Σ_i  -( t_i log p_i + (1 - t_i) log(1 - p_i) ).                                       (1)

For the gradient, d log p / dp = 1/p and d log(1 - p) / dp = -1/(1 - p), so

    ∂ℓ/∂p = -t/p + (1 - t)/(1 - p) = ( -t(1 - p) + (1 - t)p ) / (p(1 - p))
          = (p - t) / (p(1 - p)).                                                         (2)

    code:   dp = scale * (p - t) / np.maximum(p * (1 - p), 1e-12)

Numerics of `bce`: at p = 0 or 1 both (1) and (2) divide by zero or take log 0. PyTorch's remedy,
followed here: a logarithm below -100 counts as -100, and p(1 - p) below 1e-12 as 1e-12. Note that
the gradient returned there is not the derivative of the value returned there (the clamped value is
flat). log(1 - p) is computed as log1p(-p), which keeps its digits for small p.

Why sigmoid and BCE are one operation
-------------------------------------
Let p = σ(a). Two facts about σ:

    1 - σ(a) = e^-a / (1 + e^-a) = σ(-a)
    dσ/da    = e^-a / (1 + e^-a)² = σ(a) (1 - σ(a)) = p(1 - p).

Chain rule with (2):   ∂ℓ/∂a = ∂ℓ/∂p · dp/da = (p - t)/(p(1 - p)) · p(1 - p) = p - t.     (3)

On paper the factor p(1 - p) cancels. In floating point it does not: in float32 p rounds to exactly
1 at about a = 17 (float64: 37), then 1 - p = 0, log(1 - p) = -∞ and the gradient is 0/0; and long
before, 1 - p has lost most of its digits. The one operation never divides by p(1 - p): it performs
the cancellation on paper.

    code:   dlogits = scale * (p - t)

The value, too, is found on paper. With log p = -log(1 + e^-a) and log(1 - p) = log p - a,

    ℓ = -t log p - (1 - t) log(1 - p) = -log p + (1 - t) a = log(1 + e^-a) + a - a t.

For a very negative a, e^-a overflows. There use
log(1 + e^-a) = log(e^-a (e^a + 1)) = -a + log(1 + e^a):

    a >= 0:   ℓ =  a - a t + log(1 + e^-a)
    a <  0:   ℓ =  0 - a t + log(1 + e^a)

which is one line, with an exponential that never exceeds 1 and a logarithm of 1 + something small:

    ℓ = max(a, 0) - a t + log1p(e^-|a|).                                                  (4)

    code:   e = np.exp(np.where(positive, -a, a))
            value = scale * np.sum(np.where(positive, a, 0) - a * t + np.log1p(e))

with positive = (a >= 0). The same e = e^-|a| gives σ without overflow: σ(a) = 1/(1 + e) for a >= 0,
and e^a/(1 + e^a) = e/(1 + e) for a < 0.

    code:   p = np.where(positive, 1, e) / (1 + e)

The floor under BCE on grey pixels
----------------------------------
With t in {0, 1} the least possible ℓ is 0. With grey t it is not: by (2) ℓ is least at p = t, where
it is the entropy of a coin of bias t,

    H(t) = -t log t - (1 - t) log(1 - t) > 0        for 0 < t < 1, at most log 2.

Nothing a model does can take BCE below mean H(t). For MNIST's grey test images it is 0.0581 nats a
pixel, 45.5 nats an image (training images: 0.0584 and 45.8). Report the excess over the floor: it
is the Bernoulli Kullback-Leibler divergence KL(t ‖ p), and 0 means a perfect reconstruction.

Squared and absolute error
--------------------------
    mse:   ℓ = (y - t)²     ∂ℓ/∂y = 2 (y - t)      code:  dy = 2 * scale * (y - t)
    l1:    ℓ = |y - t|      ∂ℓ/∂y = sign(y - t)    code:  dy = scale * sign

Squared error is the negative log-likelihood, up to a constant, of a Gaussian about y of variance ½;
absolute error that of a Laplace distribution of width 1. So the best constant prediction is the
mean for the first and the median for the second. The 2 is kept: PyTorch's convention, not the
½(y - t)² of many texts. |·| has no derivative at 0: every number in [-1, 1] is a subgradient, and
sign(0) = 0 is the one taken, so that a perfect pixel is left alone. And as |d| = sign(d) d,

    code:   value = scale * np.sum(sign * (y - t))

Written for the complex step
----------------------------
The checks feed a + ih with a tiny h and read the derivative off the imaginary part (see
complex_step.py). Only analytic formulas survive that: |z| and conj are not analytic, so branches
look at the real part and each branch is analytic: |a| is a where Re a >= 0 and -a elsewhere."""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def bce_with_logits(logits, t, scale):
    """scale · Σ max(a, 0) - a t + log1p(exp(-|a|)), and its gradient scale (σ(a) - t).

    logits, t: same shape, any rank, t in [0, 1]. Returns (value, dlogits).
    """
    a = logits
    positive = a.real >= 0
    e = np.exp(np.where(positive, -a, a))  # e^-|a|, in (0, 1]
    value = scale * np.sum(np.where(positive, a, 0) - a * t + np.log1p(e))
    p = np.where(positive, 1, e) / (1 + e)  # σ(a)
    dlogits = scale * (p - t)
    return value, dlogits


def bce(p, t, scale):
    """scale · Σ -(t log p + (1 - t) log(1 - p)), and its gradient scale (p - t) / (p (1 - p)).

    p, t: same shape, any rank, in [0, 1]. Logarithms are held at -100 or above, p (1 - p) at 1e-12
    or above. Returns (value, dp).
    """
    with np.errstate(divide="ignore"):  # log 0 = -∞ is held at -100 next
        log_p = np.log(p)
        log_1_p = np.log1p(-p)
    log_p = np.where(log_p.real < -100, -100, log_p)
    log_1_p = np.where(log_1_p.real < -100, -100, log_1_p)
    value = scale * np.sum(-(t * log_p + (1 - t) * log_1_p))
    dp = scale * (p - t) / np.maximum(p * (1 - p), 1e-12)
    return value, dp


def mse(y, t, scale):
    """scale · Σ (y - t)², and its gradient 2 scale (y - t). Returns (value, dy)."""
    value = scale * np.sum((y - t) ** 2)
    dy = 2 * scale * (y - t)
    return value, dy


def l1(y, t, scale):
    """scale · Σ |y - t|, and its gradient scale · sign(y - t), sign(0) = 0. Returns (value, dy)."""
    sign = np.sign((y - t).real)
    value = scale * np.sum(sign * (y - t))  # |d| = sign(d) d
    dy = scale * sign
    return value, dy


def demo():
    """Three pixels by hand, the naive formula's failure, and the gradients' check."""
    a = np.array([[2.0, 0.0, -1.0]])  # (N, D) = (1, 3)
    t = np.array([[1.0, 0.5, 0.0]])
    value, dlogits = bce_with_logits(a, t, 1.0)
    print("logits a        ", a[0])
    print("target t        ", t[0])
    print("σ(a) - t        ", dlogits[0].round(4))
    print(f"BCE, sum         {value:.4f} nats = log1p(e^-2) + log 2 + log1p(e^-1)")
    assert np.isclose(value, np.log1p(np.exp(-2)) + np.log(2) + np.log1p(np.exp(-1)))
    print(f"BCE, mean        {bce_with_logits(a, t, 1 / 3)[0]:.4f} nats a pixel")
    floor = bce_with_logits(np.zeros(1), np.array([0.5]), 1.0)[0]
    print(f"floor of t = ½   {floor:.4f} nats = log 2: no logit does better")

    a, t = np.array([20.0], np.float32), np.array([0.0], np.float32)
    with np.errstate(divide="ignore"):
        naive = -np.log(1 - 1 / (1 + np.exp(-a)))
    value, _ = bce_with_logits(a, t, 1)
    print(f"a = 20, t = 0 in float32: naive {naive[0]}, on logits {value}")
    assert np.isinf(naive[0]) and value == 20

    rng = np.random.default_rng(0)
    t = rng.uniform(size=(4, 5))
    scale = rng.normal()  # a random scale plays the part of the upstream gradient
    print("relative error of the gradient against the complex step:")
    for loss in (bce_with_logits, bce, mse, l1):
        x = rng.uniform(0.05, 0.95, t.shape) if loss is bce else rng.normal(0, 3, t.shape)
        wanted = complex_step_gradient(lambda x, loss=loss: loss(x, t, scale)[0], x, 1.0)
        found = loss(x, t, scale)[1]
        error = relative_error(found, wanted)
        print(f"  {loss.__name__:16} {error:.1e}")
        assert error <= 1e-10


if __name__ == "__main__":
    demo()
