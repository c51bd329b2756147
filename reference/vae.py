"""A whole variational autoencoder: its loss, every gradient and its training, put together.

Symbols: N samples, D elements of a sample, H hidden units, Z latent variables.
x: (N, D), targets and inputs, in [0, 1]. eps: (N, Z), standard normal numbers.
w: (outputs, inputs), b: (outputs,). dθ is the loss gradient with respect to θ.

What is maximised
-----------------
The model draws z from the prior p(z) = N(0, 1) and then the picture x from p(x|z), Bernoulli with
probabilities σ(logits), logits = decoder(z). The likelihood of a picture, p(x) = ∫ p(x|z) p(z) dz,
is out of reach. Let q(z) be any density. As p(x) = p(x|z) p(z) / p(z|x) for every z,

    log p(x) = E_q[ log p(x|z) + log p(z) - log p(z|x) ]
             = E_q[ log p(x|z) ] - E_q[ log q(z) - log p(z) ] + E_q[ log q(z) - log p(z|x) ]
             = E_q[ log p(x|z) ] - KL(q ‖ p(z))               + KL(q ‖ p(z|x)).              (1)

The last term is >= 0, so the first two are a lower bound on log p(x), for any q. Let an encoder
choose q for each picture, q = N(mean, e^log_var). Minus the bound, averaged over the batch, is the
loss, in nats an image:

    L = 1/N Σ_n ( Σ_d BCE(logits[n,d], x[n,d]) + β Σ_z KL[n,z] ),       β = 1 for the bound.  (2)

For β = 1, to lower L raises the likelihood or brings q nearer to the true posterior p(z|x): (1)
allows nothing else. E_q is estimated with one sample z, made from eps by the reparameterization.

Forward
-------
    h      = relu(x w1ᵀ + b1)               (N, H)       w1: (H, D)     b1: (H,)
    heads  = h w2ᵀ + b2                     (N, 2Z)      w2: (2Z, H)    b2: (2Z,)
    mean, log_var = heads[:, :Z], heads[:, Z:]           (N, Z) each
    z      = mean + e^(log_var/2) eps       (N, Z)
    g      = relu(z w3ᵀ + b3)               (N, H)       w3: (H, Z)     b3: (H,)
    logits = g w4ᵀ + b4                     (N, D)       w4: (D, H)     b4: (D,)
    L      = bce_with_logits(logits, x, 1/N) + gaussian_kl(mean, log_var, β/N)

The two heads are one dense layer whose output is split: two products in one.

Backward
--------
The same lines from last to first; each gives the gradients of what it read from that of what it
wrote. For a dense layer a = x wᵀ + b, y = f(a) these are (dense.py, activations.py)

    da = dy f'(a)      db = Σ_n da[n]      dw = daᵀ x      dx = da w                        (3)

    L       dlogits = (σ(logits) - x)/N                                   losses.py
    logits  dw4, db4 and dg by (3), f' = 1
    g       dw3, db3 and dz by (3), f' = [g > 0]
    z       dmean = dz,  dlog_var = ½ dz eps e^(log_var/2)                reparameterization.py
    L       dmean += β mean/N,  dlog_var += β (e^log_var - 1)/(2N)        gaussian_kl.py
    heads   dheads = [dmean, dlog_var]  (N, 2Z): the split, undone
            dw2, db2 and dh by (3), f' = 1
    h       dw1, db1 by (3), f' = [h > 0]; nobody asks for dx

mean and log_var are used twice, by z and by the KL: their two gradients are added. The 1/N enters
once, in L, and travels down by itself: dw is a sum over n of terms that hold it already.

Random numbers
--------------
All from philox.py, named by (seed, purpose, step, row):

    weights   of parameter i = 0 … 7, purpose 1, step i, row: first index of the array;
              uniform within ±1/√fan_in, fan_in the layer's inputs, for w and b alike
    order     of epoch e, purpose 2, step e, row: the sample's index in the data set;
              the samples sorted by two words (64 bits) each, so that ties hardly occur
    epsilon   of step s, purpose 3, step s, row: the sample's index in the data set

A uniform number within ±k has variance k²/3. With k = 1/√fan_in a layer's output has variance
fan_in · k²/3 · E[x²] = E[x²]/3 beside its bias: activations shrink a little, and none explodes.

Pitfalls
--------
- BCE averaged over pixels beside KL summed over z is a β-VAE with β = D.
- mean and log_var want no activation: both may be any real number.
- The same epsilon in every step is no estimate of E_q: the model fits that one draw of noise.
- The loss is an upper bound on -log p(x) for binary x. For grey x it has the floor of losses.py.

Sources: Kingma and Welling, Auto-Encoding Variational Bayes (2013); Rezende, Mohamed, Wierstra,
Stochastic backpropagation and approximate inference in deep generative models (2014)."""

import numpy as np

from reference.activations import bias_activation_backward, bias_activation_forward
from reference.adam import adam
from reference.complex_step import complex_step_gradient, relative_error
from reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from reference.gather import gather
from reference.gaussian_kl import gaussian_kl
from reference.losses import bce_with_logits
from reference.philox import random_normal, random_uint32, random_uniform
from reference.reparameterization import reparameterize_backward, reparameterize_forward

WEIGHTS, SHUFFLE, EPSILON = 1, 2, 3  # purposes of random numbers
NAMES = tuple(
    f"{network}.{layer}.{array}"
    for network in ("encoder", "decoder")
    for layer in (0, 1)
    for array in ("w", "b")
)


def initial_parameters(seed, D, H, Z):
    """The eight arrays in the order of NAMES, float64, uniform within ±1/√fan_in."""
    parameters = []
    for outputs, inputs in ((H, D), (2 * Z, H), (H, Z), (D, H)):
        for shape in ((outputs, inputs), (outputs,)):
            columns = inputs if len(shape) == 2 else 1
            u = random_uniform(seed, WEIGHTS, len(parameters), np.arange(outputs), columns)
            parameters.append(((2 * u - 1) / np.sqrt(inputs)).reshape(shape))
    return parameters


def loss_and_gradients(parameters, x, eps, beta):
    """(2) and its gradients. x: (N, D);  eps: (N, Z). Returns (L, list in the order of NAMES)."""
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    N, Z = eps.shape

    h = bias_activation_forward(dense_forward(x, w1), b1, "relu", 0.0)  # (N, H)
    heads = bias_activation_forward(dense_forward(h, w2), b2, "identity", 0.0)  # (N, 2Z)
    mean, log_var = heads[:, :Z], heads[:, Z:]  # (N, Z) each
    z = reparameterize_forward(mean, log_var, eps)  # (N, Z)
    g = bias_activation_forward(dense_forward(z, w3), b3, "relu", 0.0)  # (N, H)
    logits = bias_activation_forward(dense_forward(g, w4), b4, "identity", 0.0)  # (N, D)
    reconstruction, dlogits = bce_with_logits(logits, x, 1 / N)
    kl, dmean_kl, dlog_var_kl = gaussian_kl(mean, log_var, beta / N)
    loss = reconstruction + kl

    da4, db4 = bias_activation_backward(dlogits, logits, "identity", 0.0)  # (N, D), (D,)
    dw4, dg = dense_weight_gradient(g, da4), dense_input_gradient(da4, w4)  # (D, H), (N, H)
    da3, db3 = bias_activation_backward(dg, g, "relu", 0.0)  # (N, H), (H,)
    dw3, dz = dense_weight_gradient(z, da3), dense_input_gradient(da3, w3)  # (H, Z), (N, Z)
    dmean, dlog_var = reparameterize_backward(dz, log_var, eps)  # (N, Z) each
    dheads = np.concatenate((dmean + dmean_kl, dlog_var + dlog_var_kl), axis=1)  # (N, 2Z)
    da2, db2 = bias_activation_backward(dheads, heads, "identity", 0.0)  # (N, 2Z), (2Z,)
    dw2, dh = dense_weight_gradient(h, da2), dense_input_gradient(da2, w2)  # (2Z, H), (N, H)
    da1, db1 = bias_activation_backward(dh, h, "relu", 0.0)  # (N, H), (H,)
    dw1 = dense_weight_gradient(x, da1)  # (H, D)
    return loss, [dw1, db1, dw2, db2, dw3, db3, dw4, db4]


def train(images, seed, hidden, latent, batch_size, steps, lr=1e-3, beta=1.0):
    """Adam (β1 0.9, β2 0.999, ε 1e-8) for a number of steps. images: (M, D) in [0, 1].

    Each epoch visits all images once in a new order; its last batch is smaller where batch_size
    does not divide M. Returns (parameters, list of losses, one a step, in nats an image).
    """
    M, D = images.shape
    batches = -(-M // batch_size)  # an epoch's
    parameters = initial_parameters(seed, D, hidden, latent)
    m = [np.zeros_like(w) for w in parameters]
    v = [np.zeros_like(w) for w in parameters]
    losses = []
    for step in range(steps):
        epoch, batch = divmod(step, batches)
        words = random_uint32(seed, SHUFFLE, epoch, np.arange(M), 2)  # (M, 2)
        keys = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]  # (M,)
        order = np.argsort(keys, kind="stable")  # (M,)
        indices = order[batch * batch_size : (batch + 1) * batch_size]  # (N,)
        x = gather(images, indices, 1.0, 0.0)  # (N, D)
        eps = random_normal(seed, EPSILON, step, indices, latent)  # (N, Z)
        loss, gradients = loss_and_gradients(parameters, x, eps, beta)
        losses.append(float(loss))
        for i, dw in enumerate(gradients):
            parameters[i], m[i], v[i] = adam(
                parameters[i], dw, m[i], v[i], step, lr, 0.9, 0.999, 1e-8, 0.0
            )
    return parameters, losses


def bars(side):
    """All pictures of one white row or column, side×side pixels: (2·side, side²)."""
    pictures = np.zeros((2 * side, side, side))
    for i in range(side):
        pictures[i, i, :] = 1
        pictures[side + i, :, i] = 1
    return pictures.reshape(2 * side, side * side)


def demo():
    """The gradient of a tiny VAE against the complex step; then a VAE learns rows and columns."""
    D, H, Z, N, beta = 5, 4, 2, 3, 0.7
    parameters = initial_parameters(seed=1, D=D, H=H, Z=Z)
    x = np.random.default_rng(0).uniform(size=(N, D))
    eps = random_normal(seed=1, purpose=EPSILON, step=0, rows=np.arange(N), columns=Z)
    loss, gradients = loss_and_gradients(parameters, x, eps, beta)
    print(f"tiny VAE {D}-{H}-{Z}-{H}-{D}, {N} samples: loss {loss:.4f} nats an image")
    print("relative error of each gradient against the complex step:")
    for i, name in enumerate(NAMES):

        def loss_of(w, i=i):
            return loss_and_gradients([*parameters[:i], w, *parameters[i + 1 :]], x, eps, beta)[0]

        error = relative_error(gradients[i], complex_step_gradient(loss_of, parameters[i], 1.0))
        print(f"  {name:12} {gradients[i].shape!s:8} {error:.1e}")
        assert error <= 1e-10

    side = 4
    images = np.repeat(bars(side), 16, axis=0)  # (M, D) = (128, 16)
    _, losses = train(images, seed=0, hidden=32, latent=2, batch_size=32, steps=600, lr=1e-2)
    entropy = np.log(2 * side)
    print(f"\n{len(images)} pictures of {2 * side} bars, {side}×{side} pixels, VAE 16-32-2-32-16")
    print("  steps       loss, nats an image (mean over the steps)")
    for start in range(0, 600, 100):
        print(f"  {start:3} … {start + 99:3}   {np.mean(losses[start : start + 100]):.3f}")
    print(f"  no model can do better than the entropy of {2 * side} equal bars, {entropy:.3f} nats")
    assert entropy < np.mean(losses[-100:]) < 0.5 * np.mean(losses[:10])


if __name__ == "__main__":
    demo()
