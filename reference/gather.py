"""Rows of a data set by number: gather (pictures), take (labels), one_hot (labels as vectors).

Symbols: source: (M, D), the data set, M samples of D elements. indices: (N,), the samples of a
batch, 0 <= index < M. C classes. δ[a,b] is 1 if a = b, else 0.

Gather
------
A batch is a choice of rows, brought to the network's scale (pixels 0 … 255 to [0, 1] or [-1, 1]):

    out[n,d] = scale · source[indices[n], d] + shift                                       (1)

    code:   scale * source[indices].astype(dtype) + shift

Conversion comes first, arithmetic second. In uint8 arithmetic 2 · 200 is 144, and a set converted
as a whole takes four times the memory (eight in float64) for what is needed of one batch at a time.

    [0, 1]:    scale = 1/255,  shift = 0
    [-1, 1]:   scale = 2/255,  shift = -1

Gathering is linear. With the selection matrix S[n,m] = δ[m, indices[n]], (N, M), one row a sample,

    source[indices[n], d] = Σ_m S[n,m] source[m,d]           S · source                    (2)

so, if one ever wants the gradient with respect to the source (an embedding table), it is the
adjoint Sᵀ dy: dsource[m,d] = Σ_n δ[m, indices[n]] dy[n,d], a scatter with ADDITION, because a row
that was gathered twice gets both gradients. Here the source is data, and no gradient is needed.

One-hot
-------
    out[n,c] = δ[c, labels[n]]                                                             (3)

    code:   (np.arange(classes) == labels[:, None]).astype(dtype)

is that same S for labels: multiplying it by a weight matrix w (classes, K) picks row labels[n] of
w. It is how a class enters a network (concatenated to the image or the code), and it is the target
in the gradient of softmax_cross_entropy.py.

Black and white
---------------
A grey pixel x in [0, 1], read as the probability of ink, becomes ink with that probability:

    t[n,d] = [u[n,d] < x[n,d]],  u uniform in (0, 1):        P(t = 1) = P(u < x) = x       (4)

Drawn anew at every visit ("dynamic binarization"), so that E[t] = x; x = 0 and x = 1 stay as they
are, since u is neither 0 nor 1.

Pitfalls
--------
- A negative index means "from the end" to NumPy and out of bounds to a kernel: check once, outside.
- A label outside 0 … C - 1 gives a row of zeros in (3), in silence.

Order of keys
-------------
An epoch's order is that of the samples by random keys of two words, 64 bits (philox.py):

    out = the n in ascending order of 2³² keys[n,0] + keys[n,1], equal ones as they came    (4)

    code:   sorted(range(N), key=lambda n: (keys[n, 0], keys[n, 1]))

With independent keys all N! orders are equally likely but for ties, whose chance is N²/2⁶⁵.
"""

import numpy as np


def gather(source, indices, scale, shift, dtype=np.float64):
    """scale · source[indices[n]] + shift. source: (M, D);  indices: (N,). Returns (N, D)."""
    return scale * source[indices].astype(dtype) + shift


def take(source, indices):
    """source[indices[n]], unchanged, for labels. source: (M,);  indices: (N,). Returns (N,)."""
    return source[indices]


def one_hot(labels, classes, dtype=np.float64):
    """1 where c == labels[n], else 0. labels: (N,). Returns (N, classes)."""
    return (np.arange(classes) == labels[:, None]).astype(dtype)


def binarize(x, u):
    """1 where u < x, else 0. x, u: one shape."""
    return (u < x).astype(x.dtype)


def argsort(keys):
    """Rows of keys in ascending order, equal ones as they came. keys: (N, 2). Returns (N,)."""
    N = len(keys)
    return np.array(sorted(range(N), key=lambda n: (keys[n, 0], keys[n, 1])))


def demo():
    """Three tiny pictures, a batch of them, and gathering as a product with one-hot rows."""
    source = np.array([[0, 51], [102, 153], [204, 255]], np.uint8)  # (M, D) = (3, 2)
    indices = np.array([2, 0, 2])
    print(f"source {source.tolist()}, indices {indices.tolist()}")
    unit = gather(source, indices, 1 / 255, 0.0)
    print(f"gathered to [0, 1]:  {unit.round(4).tolist()}")
    print(f"gathered to [-1, 1]: {gather(source, indices, 2 / 255, -1.0).round(4).tolist()}")
    assert np.allclose(unit, [[0.8, 1.0], [0.0, 0.2], [0.8, 1.0]])
    S = one_hot(indices, 3)  # (N, M), the selection matrix of (2)
    print(f"S {S.astype(int).tolist()}")
    assert np.allclose(unit, S @ (source / 255))

    labels = np.array([7, 1, 4])
    print(f"labels {labels.tolist()} taken: {take(labels, indices).tolist()}")
    assert take(labels, indices).tolist() == [4, 7, 4]

    keys = np.array([[5, 1], [2, 9], [5, 0], [2, 9]])
    print(f"keys {keys.tolist()} in the order {argsort(keys).tolist()}")
    assert argsort(keys).tolist() == [1, 3, 2, 0]

    dy = np.array([[1.0], [10.0], [100.0]])  # upstream of a gathered (3, 1) table
    print(f"adjoint of gather, Sᵀ dy: {(S.T @ dy)[:, 0]} (row 2 was gathered twice: 1 + 100)")
    assert (S.T @ dy)[:, 0].tolist() == [10.0, 0.0, 101.0]


if __name__ == "__main__":
    demo()
