"""Product of a batch that is mostly zeros with a dense layer's weights, and its weight gradient.

Symbols: u (M, D), the data set, most of it zeros; rows (N,), the samples of a batch;
x (N, D), x[n,d] = scale · u[rows[n], d] + shift, the batch as `gather.py` makes it; w (K, D);
y (N, K) = x wᵀ; dy (N, K), the gradient of the loss by y.

81 % of MNIST's numbers are zeros. They are listed once for the whole set, row by row, in three
arrays ("compressed sparse rows"): the nonzeros of sample m are

    u[m, columns[i]] = values[i]      for starts[m] <= i < starts[m+1]                     (1)

Forward
-------
A zero of u contributes only its shift, which is the same for all samples:

    y[n,k] = Σ_d x[n,d] w[k,d]
           = scale · Σ_i values[i] w[k, columns[i]]  +  shift · Σ_d w[k,d]                 (2)

with i from starts[rows[n]] to starts[rows[n]+1]: a choice of columns of w, times a vector.

    code:   y[n] = scale * (w[:, columns[i]] @ values[i].astype(w.dtype)) + shift * w.sum(axis=1)

Weight gradient
---------------
The layer is linear, so dw is the product of dense.py with (1) put in:

    dw[k,d] = Σ_n dy[n,k] x[n,d]
            = scale · Σ_n Σ_{i: columns[i] = d} dy[n,k] values[i]  +  shift · Σ_n dy[n,k]  (3)

Sample n adds dy[n,:] · values[i] to the column columns[i] of dw. (No dx: x is data.)

    code:   dw[:, columns[i]] += scale * dy[n] * dy.dtype.type(values[i])

Nothing is left out and nothing approximated: (2) and (3) are the dense sums without the terms that
are zero. What is saved are 4 of 5 multiplications; what is paid for it is that the columns of w lie
scattered, so it is worth it for as long as w is near (the processor's cache) or N·K is small.

Pitfalls
--------
- With pixels in [-1, 1] (scale 2/255, shift -1) no x is zero, but u still is: shift goes apart.
- A sample without any nonzero has an empty range in (1): y[n] is shift · Σ_d w[k,d], not nothing.
"""

import numpy as np


def nonzeros(u):
    """(starts, columns, values) of u (M, D), equation (1)."""
    starts = np.concatenate(([0], np.cumsum((u != 0).sum(axis=1))))
    columns = np.nonzero(u)[1]
    return starts, columns, u[u != 0]


def sparse_matmul(starts, columns, values, rows, w, scale, shift):
    """y (N, K), equation (2)."""
    y = np.empty((len(rows), len(w)), w.dtype)
    for n, m in enumerate(rows):
        i = slice(starts[m], starts[m + 1])
        y[n] = scale * (w[:, columns[i]] @ values[i].astype(w.dtype)) + shift * w.sum(axis=1)
    return y


def sparse_weight_gradient(starts, columns, values, rows, dy, scale, shift, D):
    """dw (K, D), equation (3)."""
    dw = np.repeat(shift * dy.sum(axis=0)[:, None], D, axis=1)  # (K, D)
    for n, m in enumerate(rows):
        for i in range(starts[m], starts[m + 1]):
            dw[:, columns[i]] += scale * dy[n] * dy.dtype.type(values[i])
    return dw


def demo():
    """Two of three tiny pictures, one of them without a nonzero, against the dense product."""
    u = np.array([[0, 0, 3, 0], [0, 0, 0, 0], [5, 0, 0, 2]], np.uint8)
    w = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -1.0, 2.0]])
    rows, scale, shift = np.array([2, 1]), 0.5, -1.0
    sparse = nonzeros(u)
    print("starts, columns, values:", *(part.tolist() for part in sparse))
    assert [part.tolist() for part in sparse] == [[0, 1, 1, 3], [2, 0, 3], [3, 5, 2]]
    x = scale * u[rows] + shift
    y = sparse_matmul(*sparse, rows, w, scale, shift)
    print(f"y {y.tolist()}, from the dense x {(x @ w.T).tolist()}")
    assert np.allclose(y, x @ w.T)
    dy = np.array([[1.0, -1.0], [2.0, 0.5]])
    dw = sparse_weight_gradient(*sparse, rows, dy, scale, shift, 4)
    print(f"dw {dw.tolist()}, from the dense x {(dy.T @ x).tolist()}")
    assert np.allclose(dw, dy.T @ x)


if __name__ == "__main__":
    demo()
