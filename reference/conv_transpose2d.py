"""Transposed convolution: the input gradient of a convolution, used as a forward pass.

Symbols: N samples, C input and K output channels, H×W input, OH×OW output (the larger image),
KH×KW kernel, stride (SH, SW), padding (PH, PW), output padding (EH, EW), dilation (DH, DW),
G groups.
x, dx: (N, C, H, W)      w, dw: (C, K/G, KH, KW)      y, dy: (N, K, OH, OW)

Forward
-------
A convolution lets each output pixel gather a window of the input. A transposed convolution turns
the arrows round: each input pixel (i, j) stamps the kernel, times its own value, on the output, the
stamps S apart, and where stamps overlap they add. One group:

    yp[n, k, i·SH + a·DH, j·SW + b·DW] += Σ_c x[n,c,i,j] w[c,k,a,b]      over all i, j, a, b

or, with the bracket that is 1 where it holds and else 0,

    yp[n,k,p,q] = Σ_{c,i,j,a,b} x[n,c,i,j] w[c,k,a,b] [i·SH + a·DH = p] [j·SW + b·DW = q]

The last stamp begins at (H - 1)·SH and is DH(KH - 1) + 1 long. Padding *crops* here: P rows and
columns are cut from each side, y[n,k,p,q] = yp[n, k, p + PH, q + PW]. Output padding E uncovers E
of the rows that the crop would cut at the bottom and right (and adds zeros only if E > P):

    OH = (H - 1)·SH - 2PH + DH(KH - 1) + 1 + EH

Why E exists: a convolution with stride S sends S different heights OH to the same height H (the
floor in its formula), so going back from H the height must be chosen: E = 0 … S-1.

Groups: run g of C/G inputs stamps on run g of K/G outputs only; w[c, k] leads from input channel c
to output channel g·K/G + k, with g = c // (C/G).

It is conv2d's input gradient
-----------------------------
Let a convolution with stride S, padding P, dilation D map the *large* image u: (N, K, OH, OW) to
the *small* one v: (N, C, H, W). Its weight has the shape (outputs, inputs/G, KH, KW), that is
(C, K/G, KH, KW): the very shape of w above. Its input gradient is, from `conv2d.py` with these
letters (dup: the gradient of u with its padding),

    dup[n,k,p,q] = Σ_{c,i,j,a,b} dv[n,c,i,j] w[c,k,a,b] [i·SH + a·DH = p] [j·SW + b·DW = q]

and du is dup cropped by P: letter for letter the sum above with dv = x, dup = yp, du = y. So

    conv_transpose2d_forward(x, w, …) = conv2d_input_gradient(x, w, …, input_size=(OH, OW))

and `output_padding` is settled by the size of the result. No weight is flipped or transposed: the
layout (C, K/G, KH, KW), odd at first sight, is chosen so that none has to be.

Backward
--------
Let A be that convolution as a matrix: v = A u. The forward pass here is y = Aᵀ x, and so
dx = (Aᵀ)ᵀ dy = A dy: a plain convolution. In indices, with dyp = dy with P zeros put back on each
side (what was cropped was never seen, its gradient is 0):

    ∂yp[n,k,p,q]/∂x[n',c,i,j] = [n = n'] Σ_{a,b} w[c,k,a,b] [i·SH + a·DH = p] [j·SW + b·DW = q]

    dx[n,c,i,j] = Σ_{k,p,q} dyp[n,k,p,q] ∂yp[n,k,p,q]/∂x[n,c,i,j]
                = Σ_{k,a,b} w[c,k,a,b] dyp[n, k, i·SH + a·DH, j·SW + b·DW]

A pixel gathers, through the kernel, the gradient of what it stamped: conv2d_forward(dy, w, …).
Its height is ⌊(OH + 2PH - DH(KH - 1) - 1)/SH⌋ + 1 = ⌊((H - 1)·SH + EH)/SH⌋ + 1, which is H because
E < S. (That is why E >= S is refused.)

    ∂yp[n,k,p,q]/∂w[c,k',a,b] = [k = k'] Σ_{i,j} x[n,c,i,j] [i·SH + a·DH = p] [j·SW + b·DW = q]

    dw[c,k,a,b] = Σ_{n,i,j} x[n,c,i,j] dyp[n, k, i·SH + a·DH, j·SW + b·DW]

conv2d's weight gradient is Σ (gradient of the small image) · (large image, padded). Here x is the
small image and dy the large one: conv2d_weight_gradient(x=dy, dy=x, …), roles exchanged.

      layer               forward               input gradient        weight gradient
      conv2d              A x                   Aᵀ dy                 small: dy, large: x
      conv_transpose2d    Aᵀ x                  A dy                  small: x,  large: dy

Three primitives serve both layers. The code below does not use them: it writes the stamps as loops
of its own, and the demo checks that the two agree.

Pitfalls
--------
- A transposed convolution is not the inverse of the convolution: A Aᵀ is not 1.
- Weight layout: first axis C, the *inputs* of this layer. A bias has K elements.
- Padding takes away from the output; stride spreads the output, not the reading of the input.
- Where KH is no multiple of SH, pixels get unequal numbers of stamps: the checkerboard pattern.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error
from reference.conv2d import conv2d_forward, conv2d_input_gradient, conv2d_weight_gradient


def stamps(x_shape, k_per_group, kernel_size, stride, dilation, groups):
    """Yield (c, k, i, j, rows, cols) for each group and input pixel.

    c, k: the group's input and output channels;  (i, j): the pixel;  rows, cols: where in the
    uncropped output its stamp goes, KH rows and KW columns.
    """
    _, C, H, W = x_shape
    (KH, KW), (SH, SW), (DH, DW) = kernel_size, stride, dilation
    CG, KG = C // groups, k_per_group
    for g, i, j in np.ndindex(groups, H, W):
        c, k = slice(g * CG, (g + 1) * CG), slice(g * KG, (g + 1) * KG)
        rows = slice(i * SH, i * SH + DH * (KH - 1) + 1, DH)
        cols = slice(j * SW, j * SW + DW * (KW - 1) + 1, DW)
        yield c, k, i, j, rows, cols


def conv_transpose2d_forward(x, w, stride, padding, output_padding, dilation, groups):
    """yp[n,k, i·SH + a·DH, j·SW + b·DW] += Σ_c x[n,c,i,j] w[c,k,a,b]; y is its inside, uncovered
    by the output padding. x: (N, C, H, W);  w: (C, K/G, KH, KW);  y: (N, K, OH, OW)."""
    N, _, H, W = x.shape
    _, KG, KH, KW = w.shape
    (SH, SW), (PH, PW), (EH, EW), (DH, DW) = stride, padding, output_padding, dilation
    if EH >= SH or EW >= SW:
        raise ValueError(f"output_padding {output_padding} must be less than stride {stride}")
    OH = (H - 1) * SH - 2 * PH + DH * (KH - 1) + 1 + EH
    OW = (W - 1) * SW - 2 * PW + DW * (KW - 1) + 1 + EW
    yp = np.zeros((N, KG * groups, OH + 2 * PH, OW + 2 * PW), np.result_type(x, w))
    for c, k, i, j, rows, cols in stamps(x.shape, KG, (KH, KW), stride, dilation, groups):
        yp[:, k, rows, cols] += np.einsum("nc,ckab->nkab", x[:, c, i, j], w[c])
    return yp[:, :, PH : PH + OH, PW : PW + OW]


def conv_transpose2d_input_gradient(dy, w, stride, padding, dilation, groups):
    """dx[n,c,i,j] = Σ_{k,a,b} w[c,k,a,b] dyp[n,k, i·SH + a·DH, j·SW + b·DW]. dx: (N, C, H, W)."""
    N, _, OH, OW = dy.shape
    C, KG, KH, KW = w.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    H = (OH + 2 * PH - DH * (KH - 1) - 1) // SH + 1
    W = (OW + 2 * PW - DW * (KW - 1) - 1) // SW + 1
    dyp = np.pad(dy, ((0, 0), (0, 0), (PH, PH), (PW, PW)))  # (N, K, OH+2PH, OW+2PW)
    dx = np.zeros((N, C, H, W), np.result_type(dy, w))
    for c, k, i, j, rows, cols in stamps(dx.shape, KG, (KH, KW), stride, dilation, groups):
        dx[:, c, i, j] = np.einsum("nkab,ckab->nc", dyp[:, k, rows, cols], w[c])
    return dx


def conv_transpose2d_weight_gradient(x, dy, stride, padding, dilation, groups, kernel_size):
    """dw[c,k,a,b] = Σ_{n,i,j} x[n,c,i,j] dyp[n,k, i·SH + a·DH, j·SW + b·DW].

    kernel_size: (KH, KW);  dw: (C, K/G, KH, KW).
    """
    C, KG = x.shape[1], dy.shape[1] // groups
    PH, PW = padding
    dyp = np.pad(dy, ((0, 0), (0, 0), (PH, PH), (PW, PW)))  # (N, K, OH+2PH, OW+2PW)
    dw = np.zeros((C, KG, *kernel_size), np.result_type(x, dy))
    for c, k, i, j, rows, cols in stamps(x.shape, KG, kernel_size, stride, dilation, groups):
        dw[c] += np.einsum("nc,nkab->ckab", x[:, c, i, j], dyp[:, k, rows, cols])
    return dw


def demo():
    """Four pixels stamp a 3×3 kernel, stride 2; then the checks on random numbers."""
    x = np.array([[1.0, 2.0], [0.0, -1.0]]).reshape(1, 1, 2, 2)
    w = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).reshape(1, 1, 3, 3)
    print(f"x (1, 1, 2, 2) =\n{x[0, 0]}\nw (1, 1, 3, 3) =\n{w[0, 0]}")
    full = conv_transpose2d_forward(x, w, (2, 2), (0, 0), (0, 0), (1, 1), 1)
    print(f"y, stride 2, padding 0 =\n{full[0, 0]}")
    print("    row 0, column 2 is under two stamps: 1·1 + 2·1 = 3")
    y = conv_transpose2d_forward(x, w, (2, 2), (1, 1), (1, 1), (1, 1), 1)
    print(f"y, stride 2, padding 1, output padding 1: rows and columns 1 to 4 of it =\n{y[0, 0]}\n")
    dy = np.zeros_like(y)
    dy[0, 0, 1, 1] = 1.0
    how = ((2, 2), (1, 1), (1, 1), 1)  # stride, padding, dilation, groups
    dx = conv_transpose2d_input_gradient(dy, w, *how)
    dw = conv_transpose2d_weight_gradient(x, dy, *how, (3, 3))
    print("dy = 1 at [1,1], where the corners of all four stamps meet")
    print(f"dx, the corners =\n{dx[0, 0]}\ndw, the pixels in the corners =\n{dw[0, 0]}\n")

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 3, 4)), rng.normal(size=(4, 3, 3, 2))
    how = stride, padding, dilation, groups = ((2, 3), (1, 2), (1, 2), 2)

    def forward(x, w):
        return conv_transpose2d_forward(x, w, stride, padding, (1, 2), dilation, groups)

    y = forward(x, w)
    dy = rng.normal(size=y.shape)
    dx = conv_transpose2d_input_gradient(dy, w, *how)
    dw = conv_transpose2d_weight_gradient(x, dy, *how, (3, 2))
    same = {
        "forward = conv2d_input_gradient(x, w)": relative_error(
            y, conv2d_input_gradient(x, w, *how, y.shape[2:])
        ),
        "input gradient = conv2d_forward(dy, w)": relative_error(dx, conv2d_forward(dy, w, *how)),
        "weight gradient = conv2d_weight_gradient(dy, x)": relative_error(
            dw, conv2d_weight_gradient(dy, x, *how, (3, 2))
        ),
    }
    for name, error in same.items():
        print(f"{name}: relative error {error:.1e}")
        assert error <= 1e-10
    print(f"adjoint identity: <convT(x), dy> = {np.sum(y * dy):.12f}")
    print(f"                  <x, conv(dy)>  = {np.sum(x * conv2d_forward(dy, w, *how)):.12f}")
    assert np.isclose(np.sum(y * dy), np.sum(x * conv2d_forward(dy, w, *how)), rtol=1e-10, atol=0)
    error = max(
        relative_error(dx, complex_step_gradient(lambda x: forward(x, w), x, dy)),
        relative_error(dw, complex_step_gradient(lambda w: forward(x, w), w, dy)),
    )
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
