"""Product of a batch that is mostly zeros with a dense layer's weights, and its weight gradient.

Symbols: u (M, D), the data set, most of it zeros; rows (N,), the samples of a batch; x (N, D), the
batch as `gather.py` makes it, x[n,d] = scale · u[rows[n], d]; w (K, D); y (N, K) = x wᵀ; dy (N, K),
the gradient of the loss by y.

81 % of MNIST's numbers are zeros, and they lie together: of the strips of 8 columns into which a
row falls, 61 % hold nothing else. Which do is found once for the whole set and kept as a bit for
each strip, 64 of them in a word: sample m has strip s if

    b[m,s] = 1 if u[m,d] ≠ 0 for a d in 8s, ..., 8s + 7, else 0                            (1)

    code:   strips[m, s // 64] >> s % 64 & 1

Forward
-------
A strip that a sample does not have contributes nothing to its row of y:

    y[n,k] = Σ_d x[n,d] w[k,d]
           = Σ_s b[rows[n],s] Σ_{d in strip s} x[n,d] w[k,d]                               (2)

The sum over s outside, over n inside: for strip s, those n that have it are listed, and their rows
of y get a product of a (listed, 8) and an (8, K) matrix.

    code:   y[n] += x[n, of_strip] @ w[:, of_strip].T

Weight gradient
---------------
The layer is linear, so dw is the product of dense.py with (2) put in, d in strip s:

    dw[k,d] = Σ_n dy[n,k] x[n,d]
            = Σ_{n: b[rows[n],s] = 1} dy[n,k] x[n,d]                                       (3)

    code:   dw[:, of_strip] = dy[n].T @ x[n, of_strip]

(No dx: x is data.) Nothing is approximated: (2) and (3) are the dense sums without terms that are
zero. Strips are a middle way. With single zeros left out 4 of 5 multiplications are saved, not 3 of
5, but each of the others takes a number of x and a column of w from anywhere; a strip of 8 and a
list of samples are a matrix product, whose numbers are used many times once they are read.

Pitfalls
--------
- With pixels in [-1, 1] no x is zero where u is: there is nothing to leave out.
- D need not be a multiple of 8: the last strip is then shorter.
- A sample without any strip has y[n] = 0, which has to be written like any other.
"""

import numpy as np

STRIP = 8


def strips_of(u):
    """Words (M, ⌈⌈D/8⌉/64⌉) of u (M, D), equation (1)."""
    M, D = u.shape
    count = -(-D // STRIP)
    strips = np.zeros((M, -(-count // 64)), np.uint64)
    for s in range(count):
        b = (u[:, s * STRIP : (s + 1) * STRIP] != 0).any(axis=1)
        strips[:, s // 64] |= b.astype(np.uint64) << np.uint64(s % 64)
    return strips


def with_strip(strips, rows, s):
    """Those n whose sample rows[n] has strip s."""
    return np.flatnonzero(strips[rows, s // 64] >> np.uint64(s % 64) & np.uint64(1))


def sparse_matmul(strips, rows, x, w):
    """y (N, K), equation (2)."""
    y = np.zeros((len(x), len(w)), w.dtype)
    for first in range(0, x.shape[1], STRIP):
        of_strip = slice(first, first + STRIP)
        n = with_strip(strips, rows, first // STRIP)
        y[n] += x[n, of_strip] @ w[:, of_strip].T
    return y


def sparse_weight_gradient(strips, rows, x, dy):
    """dw (K, D), equation (3)."""
    dw = np.zeros((dy.shape[1], x.shape[1]), dy.dtype)
    for first in range(0, x.shape[1], STRIP):
        of_strip = slice(first, first + STRIP)
        n = with_strip(strips, rows, first // STRIP)
        dw[:, of_strip] = dy[n].T @ x[n, of_strip]
    return dw


def demo():
    """Two of three tiny pictures of 10 pixels, one of them empty, against the dense product."""
    u = np.zeros((3, 10), np.uint8)
    u[0, 2], u[2, 7], u[2, 9] = 3, 5, 2
    strips = strips_of(u)
    print("strips of each sample, in binary:", *(f"{word:02b}" for (word,) in strips))
    assert strips.tolist() == [[0b01], [0b00], [0b11]]
    rows, scale = np.array([2, 1]), 0.5
    x = scale * u[rows]
    w = np.arange(20.0).reshape(2, 10)
    y = sparse_matmul(strips, rows, x, w)
    print(f"y {y.tolist()}, from the dense x {(x @ w.T).tolist()}")
    assert np.allclose(y, x @ w.T)
    dy = np.array([[1.0, -1.0], [2.0, 0.5]])
    dw = sparse_weight_gradient(strips, rows, x, dy)
    print(f"dw is the dense one to {np.abs(dw - dy.T @ x).max():.0e}")
    assert np.allclose(dw, dy.T @ x)


if __name__ == "__main__":
    demo()
