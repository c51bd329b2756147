"""Convolution: forward, input gradient and weight gradient are one sum, read three ways.

Symbols: N samples, C input and K output channels, H×W image, KH×KW kernel, OH×OW output,
stride (SH, SW), padding (PH, PW), dilation (DH, DW), G groups.
x, dx: (N, C, H, W)      w, dw: (K, C/G, KH, KW)      y, dy: (N, K, OH, OW)

Forward
-------
The kernel is laid on the image at steps of S, its taps D apart; image and taps under it are
multiplied and summed. To have no special case at the border, let xp be x with P rows and columns of
zeros on each side, (N, C, H + 2PH, W + 2PW), xp[n, c, p + PH, q + PW] = x[n, c, p, q]. One group:

    y[n,k,i,j] = Σ_{c,a,b} w[k,c,a,b] xp[n, c, i·SH + a·DH, j·SW + b·DW]

Output size: the kernel spans DH(KH - 1) + 1 rows, and its last position must end inside xp:

    (OH - 1)·SH + DH(KH - 1) + 1 <= H + 2PH     so     OH = ⌊(H + 2PH - DH(KH - 1) - 1) / SH⌋ + 1

Groups: the C input channels are cut into G runs of C/G, the K outputs into G runs of K/G, and run g
of the outputs sees run g of the inputs only: G convolutions side by side. w[k, c] is then the
weight from input channel g·C/G + c, with g = k // (K/G).

Fix a tap (a, b) and a group. Then rows p = i·SH + a·DH for i = 0 … OH-1 are the slice

    rows = a·DH : a·DH + (OH - 1)·SH + 1 : SH            OH rows; the same for columns

and what remains of the sum is a product over channels. The whole operation is a loop over taps:

    y[n,k,i,j] += Σ_c w[k,c] xp[n,c,i,j]                 xp at these rows and columns; w at (a, b)

Weight gradient
---------------
One weight is used at all positions of all samples, so its derivative collects them all:

    ∂y[n,k,i,j]/∂w[k',c,a,b] = [k = k'] xp[n, c, i·SH + a·DH, j·SW + b·DW]

    dw[k,c,a,b] = Σ_{n,i,j} dy[n,k,i,j] xp[n, c, i·SH + a·DH, j·SW + b·DW]

The same slices as in the forward pass; now n, i, j are summed where c was:

    dw[k,c] = Σ_{n,i,j} dy[n,k,i,j] xp[n,c,i,j]

Input gradient
--------------
One pixel (p, q) of xp is read by every output (i, j) and tap (a, b) that meet there:

    ∂y[n,k,i,j]/∂xp[n',c,p,q] = [n = n'] Σ_{a,b} w[k,c,a,b] [i·SH + a·DH = p] [j·SW + b·DW = q]

    dxp[n,c,p,q] = Σ_{k,i,j,a,b} dy[n,k,i,j] w[k,c,a,b] [i·SH + a·DH = p] [j·SW + b·DW = q]

There are two ways to write this down. *Gather*: for each p solve i = (p - a·DH) / SH, and skip taps
where that is no integer or out of range. *Scatter*: walk over all (i, j, a, b) and add each product
to the pixel (i·SH + a·DH, j·SW + b·DW) that it was read from. Scatter needs no division, and is
the forward loop with the assignment turned round: the same slices, now k is summed and xp is
written:

    dxp[n,c,i,j] += Σ_k w[k,c] dy[n,k,i,j]               dxp at these rows and columns

Last, x is the inside of xp, so dx is the inside of dxp: dx[n,c,p,q] = dxp[n, c, p + PH, q + PW].
What falls on the padding is dropped: padding is a constant, its gradient is nobody's.

The three lines of code
-----------------------
Each is the triple product w · xp · dy with one factor taken out:

    y   leaves dy out:   kc, ncij -> nkij
    dw  leaves w out:    nkij, ncij -> kc
    dxp leaves xp out:   kc, nkij -> ncij

The adjoint identity
--------------------
y is linear in x, y = A x, and the input gradient is dx = Aᵀ dy. Therefore, for all x and dy,

    <A x, dy> = <x, Aᵀ dy>           Σ conv2d_forward(x, w) dy = Σ x conv2d_input_gradient(dy, w)

a check that needs no derivative and no oracle. `conv_transpose2d.py` makes a layer of Aᵀ.

Pitfalls
--------
- No flip. This is cross-correlation, as in every deep learning library. In the gather form of dx
  with S = 1 the kernel does appear flipped, dx[p] = Σ_a dy[p - a] w[a]; the scatter form has no
  flip. Not to flip in the gather form, or to flip in the scatter form, is the classic mistake.
- In dx the weight is used transposed in (k, c): sum over k. Within one group only.
- Rows that no output reads (where S does not divide H + 2P - D(K-1) - 1) get gradient 0. They are
  there all the same: the shape of x cannot be got from dy, so `input_size` is an argument.
- Where windows overlap (S < K) gradients add up: `+=`, never `=`.
- dw sums over the batch too.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def taps(w_shape, output_size, stride, dilation, groups):
    """Yield (k, c, a, b, rows, cols) for each group and tap.

    k, c: the group's output and input channels;  (a, b): the tap;  rows, cols: what of the padded
    image the tap reads, OH rows and OW columns.
    """
    K, CG, KH, KW = w_shape
    (OH, OW), (SH, SW), (DH, DW) = output_size, stride, dilation
    KG = K // groups
    for g, a, b in np.ndindex(groups, KH, KW):
        k, c = slice(g * KG, (g + 1) * KG), slice(g * CG, (g + 1) * CG)
        rows = slice(a * DH, a * DH + (OH - 1) * SH + 1, SH)
        cols = slice(b * DW, b * DW + (OW - 1) * SW + 1, SW)
        yield k, c, a, b, rows, cols


def conv2d_forward(x, w, stride, padding, dilation, groups):
    """y[n,k,i,j] = Σ_{c,a,b} w[k,c,a,b] xp[n,c, i·SH + a·DH, j·SW + b·DW]. y: (N, K, OH, OW)."""
    N, _, H, W = x.shape
    K, _, KH, KW = w.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    OH = (H + 2 * PH - DH * (KH - 1) - 1) // SH + 1
    OW = (W + 2 * PW - DW * (KW - 1) - 1) // SW + 1
    xp = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)))  # (N, C, H+2PH, W+2PW)
    y = np.zeros((N, K, OH, OW), np.result_type(x, w))
    for k, c, a, b, rows, cols in taps(w.shape, (OH, OW), stride, dilation, groups):
        y[:, k] += np.einsum("kc,ncij->nkij", w[k, :, a, b], xp[:, c, rows, cols])
    return y


def conv2d_input_gradient(dy, w, stride, padding, dilation, groups, input_size):
    """dxp[n,c, i·SH + a·DH, j·SW + b·DW] += Σ_k w[k,c,a,b] dy[n,k,i,j]; dx is its inside.

    input_size: (H, W);  dx: (N, C, H, W).
    """
    N, _, OH, OW = dy.shape
    C = groups * w.shape[1]
    (PH, PW), (H, W) = padding, input_size
    dxp = np.zeros((N, C, H + 2 * PH, W + 2 * PW), np.result_type(dy, w))
    for k, c, a, b, rows, cols in taps(w.shape, (OH, OW), stride, dilation, groups):
        dxp[:, c, rows, cols] += np.einsum("kc,nkij->ncij", w[k, :, a, b], dy[:, k])
    return dxp[:, :, PH : PH + H, PW : PW + W]


def conv2d_weight_gradient(x, dy, stride, padding, dilation, groups, kernel_size):
    """dw[k,c,a,b] = Σ_{n,i,j} dy[n,k,i,j] xp[n,c, i·SH + a·DH, j·SW + b·DW].

    kernel_size: (KH, KW);  dw: (K, C/G, KH, KW).
    """
    C, (K, OH, OW) = x.shape[1], dy.shape[1:]
    PH, PW = padding
    xp = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)))  # (N, C, H+2PH, W+2PW)
    dw = np.zeros((K, C // groups, *kernel_size), np.result_type(x, dy))
    for k, c, a, b, rows, cols in taps(dw.shape, (OH, OW), stride, dilation, groups):
        dw[k, :, a, b] = np.einsum("nkij,ncij->kc", dy[:, k], xp[:, c, rows, cols])
    return dw


def demo():
    """A 3×3 image under a 2×2 kernel; then the checks on random numbers."""
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    w = np.array([[1.0, 2.0], [0.0, -1.0]]).reshape(1, 1, 2, 2)
    dy = np.array([[1.0, 0.0], [-1.0, 2.0]]).reshape(1, 1, 2, 2)
    how = ((1, 1), (0, 0), (1, 1), 1)  # stride, padding, dilation, groups
    print(f"x (1, 1, 3, 3) =\n{x[0, 0]}\nw (1, 1, 2, 2) =\n{w[0, 0]}")
    print(f"y =\n{conv2d_forward(x, w, *how)[0, 0]}")
    print("    y[1,1] = 1·5 + 2·6 + 0·8 - 1·9 = 8\n")
    print(f"dy =\n{dy[0, 0]}\ndx =\n{conv2d_input_gradient(dy, w, *how, (3, 3))[0, 0]}")
    print("    all four outputs read x[1,1]: y[0,0] with w[1,1], y[0,1] with w[1,0], … so")
    print("    dx[1,1] = 1·(-1) + 0·0 - 1·2 + 2·1 = -1")
    print(f"dw =\n{conv2d_weight_gradient(x, dy, *how, (2, 2))[0, 0]}")
    print("    w[1,1] meets x[i+1,j+1] at output (i,j): dw[1,1] = 1·5 + 0·6 - 1·8 + 2·9 = 15\n")

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 6, 5)), rng.normal(size=(6, 2, 3, 2))
    how = ((2, 1), (1, 2), (1, 2), 2)
    y = conv2d_forward(x, w, *how)
    dy = rng.normal(size=y.shape)
    dx = conv2d_input_gradient(dy, w, *how, (6, 5))
    dw = conv2d_weight_gradient(x, dy, *how, (3, 2))
    error = max(
        relative_error(dx, complex_step_gradient(lambda x: conv2d_forward(x, w, *how), x, dy)),
        relative_error(dw, complex_step_gradient(lambda w: conv2d_forward(x, w, *how), w, dy)),
    )
    print(f"adjoint identity: <conv(x), dy> = {np.sum(y * dy):.12f}")
    print(f"                  <x, dx>       = {np.sum(x * dx):.12f}")
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert np.isclose(np.sum(y * dy), np.sum(x * dx), rtol=1e-10, atol=0)
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
