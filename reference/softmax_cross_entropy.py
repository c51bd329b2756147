"""Softmax and cross-entropy as one operation on logits and integer labels.

Symbols: logits a: (N, C), C classes. labels: (N,), integers in 0 … C - 1; l = labels[n].
δ[c,l] is 1 if c = l, else 0. Unit of the value: nats (per label with scale = 1/N).

The definition
--------------
The softmax turns a row of C real numbers into C probabilities,

    p[n,c] = e^a[n,c] / Σ_k e^a[n,k],                                                      (1)

and the cross-entropy is the negative log-probability of the label:

    ℓ[n] = -log p[n,l] = log Σ_k e^a[n,k] - a[n,l] = logsumexp(a[n]) - a[n,l]              (2)
    value = scale · Σ_n ℓ[n].

The gradient
------------
Row n occurs in ℓ[n] only. Differentiate (2) by a[n,c]. The second term gives -δ[c,l]; the first,

    ∂/∂a_c log Σ_k e^a_k = (1 / Σ_k e^a_k) · e^a_c = p_c:

the gradient of logsumexp is the softmax. So

    ∂ℓ[n]/∂a[n,c] = p[n,c] - δ[c, labels[n]]                                               (3)

    code:   dlogits = scale * (e / s)
            dlogits[n, labels] -= scale

with e and s of section Numerics: e / s is the softmax, (N, C).

The same by the long way, to see what is saved: ∂ℓ/∂p_k = -δ[k,l]/p_l, and the softmax has the full
Jacobian ∂p_k/∂a_c = p_k (δ[k,c] - p_c). Their product is

    Σ_k -δ[k,l]/p_l · p_k (δ[k,c] - p_c) = -(δ[l,c] - p_c) = p_c - δ[c,l].

The p_l in the numerator cancels that in the denominator: on paper always, in floating point not
once p_l has underflowed to 0. Hence one operation, as for sigmoid and BCE (losses.py), which is its
case C = 2 with logits (0, a).

Each row of (3) sums to 1 - 1 = 0: adding one number to all logits of a row changes nothing.

Numerics
--------
e^a overflows at a = 89 in float32. As a shift changes nothing, subtract m[n] = max_k a[n,k]: every
exponent is then <= 0 and one of them is e^0 = 1, so the sum s[n] = Σ_k e^(a[n,k] - m[n]) is between
1 and C, and its logarithm is safe:

    logsumexp(a) = log Σ_k e^m e^(a_k - m) = m + log s.

In (2) m is not added at all, since a[n,l] has it too:

    ℓ[n] = (m + log s) - a[n,l] = log s - (a[n,l] - m).

    code:   value = scale * np.sum(np.log(s[:, 0]) - shifted[n, labels])

Sanity: untrained logits of 0 give log C, 2.3026 nats for ten classes. A first loss far from that
points at the initial weights.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def softmax_cross_entropy(logits, labels, scale):
    """scale · Σ_n logsumexp(logits[n]) - logits[n, labels[n]].

    logits: (N, classes);  labels: integers (N,). Returns (value, dlogits).
    """
    n = np.arange(len(labels))
    shifted = logits - logits.real.max(axis=1, keepdims=True)  # (N, classes), <= 0
    e = np.exp(shifted)
    s = e.sum(axis=1, keepdims=True)  # (N, 1)
    value = scale * np.sum(np.log(s[:, 0]) - shifted[n, labels])
    dlogits = scale * (e / s)  # (N, classes), the softmax
    dlogits[n, labels] -= scale  # less the one-hot labels
    return value, dlogits


def demo():
    """Two rows by hand, logits that would overflow, and the gradient's check."""
    logits = np.log([[1.0, 2.0, 1.0], [1.0, 1.0, 1.0]])  # (N, C) = (2, 3)
    labels = np.array([1, 0])
    value, dlogits = softmax_cross_entropy(logits, labels, 1.0)
    print("softmax of row 0: ¼ ½ ¼, label 1;  of row 1: ⅓ ⅓ ⅓, label 0")
    print(f"value   {value:.6f} = log 2 + log 3")
    print("dlogits", dlogits.round(4).tolist())
    assert np.isclose(value, np.log(2) + np.log(3))
    assert np.allclose(dlogits, [[1 / 4, -1 / 2, 1 / 4], [-2 / 3, 1 / 3, 1 / 3]])
    far = softmax_cross_entropy(np.array([[1000.0, 0.0]]), np.array([1]), 1.0)[0]
    print(f"logits 1000 and 0, label 1: {far} (e^1000 would overflow)")

    rng = np.random.default_rng(0)
    logits, labels, scale = rng.normal(size=(5, 4)), rng.integers(0, 4, 5), rng.normal()
    found = softmax_cross_entropy(logits, labels, scale)[1]
    wanted = complex_step_gradient(
        lambda x: softmax_cross_entropy(x, labels, scale)[0], logits, 1.0
    )
    error = relative_error(found, wanted)
    print(f"relative error of the gradient against the complex step: {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
