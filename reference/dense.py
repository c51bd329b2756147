"""Dense layer: y = x Wᵀ + b, and the one operation under it, the matrix product.

Symbols: N samples, D inputs, K outputs.   x: (N, D)   w: (K, D)   b: (K,)   y, dy: (N, K)

Forward
-------
Output k is the inner product of the sample with row k of w:

    y[n,k] = Σ_d x[n,d] w[k,d] + b[k]                                 y = x wᵀ + b

The bias and the activation that follows are derived in `activations.py`; here b = 0.

The matrix product, backward
----------------------------
Take first y = a b with a: (M, Q), b: (Q, R):

    y[m,r] = Σ_q a[m,q] b[q,r]

    ∂y[m,r]/∂a[m',q'] = [m = m'] b[q',r]         row m of y depends on row m of a alone
    ∂y[m,r]/∂b[q',r'] = [r = r'] a[m,q']         column r of y depends on column r of b alone

The bracket is 1 where it holds, else 0; in a sum it strikes out one index:

    da[m',q'] = Σ_{m,r} dy[m,r] [m = m'] b[q',r] = Σ_r dy[m',r] b[q',r]          da = dy bᵀ
    db[q',r'] = Σ_{m,r} dy[m,r] [r = r'] a[m,q'] = Σ_m a[m,q'] dy[m,r']          db = aᵀ dy

So the backward pass of a product is two products, each with one factor transposed. That is why
`matmul` takes `transpose_a` and `transpose_b`: a backend multiplies by a transposed matrix without
ever writing the transpose to memory.

The dense layer, backward
-------------------------
Its product is x wᵀ. Straight from the definition:

    ∂y[n,k]/∂x[n',d] = [n = n'] w[k,d]           ∂y[n,k]/∂w[k',d] = [k = k'] x[n,d]

    dx[n,d] = Σ_k dy[n,k] w[k,d]                 dx = dy w       (N, K) (K, D) -> (N, D)
    dw[k,d] = Σ_n dy[n,k] x[n,d]                 dw = dyᵀ x      (K, N) (N, D) -> (K, D)

which are `matmul(dy, w)` and `matmul(dy, x, transpose_a=True)`. dx mixes the outputs of one sample;
dw sums over the samples of the batch, because all of them use the same w.

Pitfalls
--------
- Transposed weight: forward uses wᵀ, dx uses w as it is. With K = D both dy w and dy wᵀ have the
  right shape, and only a number, not a shape, tells them apart. Test with K ≠ D *and* numbers.
- dw = dyᵀ x has the shape of w; xᵀ dy is its transpose.
- dw is a sum over n, not a mean: a mean over the batch belongs to the loss, which has put 1/N into
  dy already.
- With complex numbers the transpose stays a transpose: no conjugate.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def matmul(a, b, *, transpose_a=False, transpose_b=False):
    """y = op(a) op(b): (M, R), op(x) = xᵀ where asked; y[m,r] = Σ_q a[m,q] b[q,r]."""
    a_indices = "qm" if transpose_a else "mq"
    b_indices = "rq" if transpose_b else "qr"
    return np.einsum(f"{a_indices},{b_indices}->mr", a, b)


def dense_forward(x, w):
    """y[n,k] = Σ_d x[n,d] w[k,d]. x: (N, D);  w: (K, D);  y: (N, K)."""
    return matmul(x, w, transpose_b=True)


def dense_input_gradient(dy, w):
    """dx[n,d] = Σ_k dy[n,k] w[k,d]. dy: (N, K);  w: (K, D);  dx: (N, D)."""
    return matmul(dy, w)


def dense_weight_gradient(x, dy):
    """dw[k,d] = Σ_n dy[n,k] x[n,d]. x: (N, D);  dy: (N, K);  dw: (K, D)."""
    return matmul(dy, x, transpose_a=True)


def demo():
    """Two samples, three inputs, two outputs; then the check on random numbers."""
    x = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]])
    w = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
    dy = np.array([[1.0, -1.0], [0.0, 2.0]])
    print(f"x (N=2, D=3) =\n{x}\nw (K=2, D=3) =\n{w}\ny = x wᵀ =\n{dense_forward(x, w)}\n")
    print(f"dy =\n{dy}\ndx = dy w =\n{dense_input_gradient(dy, w)}")
    print(f"dw = dyᵀ x =\n{dense_weight_gradient(x, dy)}\n")

    rng = np.random.default_rng(0)
    x, w, dy = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(4, 5))
    dx = complex_step_gradient(lambda x: dense_forward(x, w), x, dy)
    dw = complex_step_gradient(lambda w: dense_forward(x, w), w, dy)
    error = max(
        relative_error(dense_input_gradient(dy, w), dx),
        relative_error(dense_weight_gradient(x, dy), dw),
    )
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
