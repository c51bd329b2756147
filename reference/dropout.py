"""Dropout: a random mask, scaled so that the mean stays.

Symbols: x, mask, y, dy, dx: any one shape.   keep: the probability with which an element is kept

Forward
-------
mask_i is 1 with probability keep, else 0, drawn anew at every step (`philox.random_bernoulli`):

    y_i = x_i mask_i / keep

Why divide: over the draw of the mask E[mask_i] = keep, so E[y_i] = x_i keep / keep = x_i. The next
layer sees inputs of the same mean with dropout and without it, so inference uses y = x and needs no
factor ("inverted" dropout). The noise that remains has the variance

    Var[y_i] = x_i² / keep² · keep (1 - keep) = x_i² (1 - keep) / keep

Backward
--------
The mask is a constant of this step. y is linear in x, with a diagonal Jacobian:

    ∂y_j/∂x_i = [i = j] mask_i / keep

    dx_i = Σ_j dy_j ∂y_j/∂x_i = dy_i mask_i / keep

The same line of code as forward, with dy for x: a diagonal matrix is its own transpose.

Pitfalls
--------
- Backward uses the mask of *its* forward pass; a new draw is right on average and wrong each time.
- The 1/keep is in both passes.
- `keep` is the probability of keeping; PyTorch's `p` is that of dropping, keep = 1 - p.
- No dropout in inference.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def dropout_forward(x, mask, keep):
    """y = x ⊙ mask / keep. x, mask (0 or 1), y: one shape;  0 < keep <= 1."""
    return x * mask / keep


def dropout_backward(dy, mask, keep):
    """dx = dy ⊙ mask / keep, mask that of forward. dy, mask, dx: one shape."""
    return dy * mask / keep


def demo():
    """Six numbers of which four are kept; then the check on random numbers."""
    x, mask = np.arange(1.0, 7.0), np.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    dy = np.array([1.0, -1.0, 2.0, -2.0, 3.0, -3.0])
    print(f"x    = {x}\nmask = {mask},  keep 0.5\ny    = {dropout_forward(x, mask, 0.5)}\n")
    print(f"dy   = {dy}\ndx   = {dropout_backward(dy, mask, 0.5)}\n")

    rng = np.random.default_rng(0)
    masks = (rng.random((100_000, 6)) < 0.5).astype(float)
    with np.printoptions(precision=2, suppress=True):
        print(f"mean of y over 100 000 masks: {dropout_forward(x, masks, 0.5).mean(axis=0)}\n")

    x, dy = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    mask = (rng.random((3, 4)) < 0.8).astype(float)
    dx = complex_step_gradient(lambda x: dropout_forward(x, mask, 0.8), x, dy)
    error = relative_error(dropout_backward(dy, mask, 0.8), dx)
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
