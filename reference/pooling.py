"""Pooling and upsampling: backward sends each gradient where its value came from.

Symbols: N samples, C channels, H×W image, window KH×KW, stride (SH, SW), padding (PH, PW),
OH×OW output.      x, dx: (N, C, H, W)      y, dy: (N, C, OH, OW)

Channels do not mix, so n and c are left out of the indices below. xp is x with P rows and columns
added on each side, and the window of output (i, j) is xp[i·SH + a, j·SW + b], 0 <= a < KH,
0 <= b < KW. The last window must end inside xp:

    (OH - 1)·SH + KH <= H + 2PH          so          OH = ⌊(H + 2PH - KH) / SH⌋ + 1

Max pooling
-----------
    y[i,j] = max_{a,b} xp[i·SH + a, j·SW + b]            xp padded with -∞, which never wins

P <= K/2 sees to it that every window holds at least one true pixel. Let (a*, b*) be the place of
the largest; near a point without ties it stays the same place, so there y *is* that pixel:

    y[i,j] = xp[p*, q*],     p* = i·SH + a*,  q* = j·SW + b*         (p*, q* depend on i, j)

    ∂y[i,j]/∂xp[p,q] = [p = p*] [q = q*]

    dxp[p,q] = Σ_{i,j} dy[i,j] [p = p*(i,j)] [q = q*(i,j)]

Gathered, that is a search over all windows; scattered, one line a window: dy[i,j] is added to the
pixel that won. Forward keeps the winner as one number, argmax[i,j] = a*·KW + b*, from which
a* = argmax // KW and b* = argmax % KW. At a tie the max has a kink, and the derivative is a choice:
the first place wins and gets all of dy, as it would if it were larger by a trifle. Padding is no
place: in a window that holds -∞ alone the first true pixel wins. A NaN wins over every number (the
first one, if several), and so goes on to y.

Average pooling
---------------
    y[i,j] = 1/(KH·KW) Σ_{a,b} xp[i·SH + a, j·SW + b]    xp padded with 0, which counts

    ∂y[i,j]/∂xp[p,q] = 1/(KH·KW) if (p, q) is in the window of (i, j), else 0

    dxp[p,q] = Σ_{i,j} dy[i,j] / (KH·KW) [(p, q) in the window of (i, j)]

Scattered: add dy[i,j] / (KH·KW) to all pixels of the window. dx is dxp without the padding. It is a
convolution of each channel with the constant kernel 1/(KH·KW), and its input gradient.

Nearest neighbour upsampling
----------------------------
    y[i,j] = x[⌊i/SH⌋, ⌊j/SW⌋]                           y: (N, C, H·SH, W·SW)

    ∂y[i,j]/∂x[p,q] = [⌊i/SH⌋ = p] [⌊j/SW⌋ = q]

    dx[p,q] = Σ_{i,j} dy[i,j] [⌊i/SH⌋ = p] [⌊j/SW⌋ = q] = Σ_{a<SH, b<SW} dy[p·SH + a, q·SW + b]

Each pixel was copied to a block of SH×SW and gets the sum of the block. With i = p·SH + a the axis
i splits into (p, a): in code a reshape of dy to (N, C, H, SH, W, SW) and a sum over axes 3 and 5.

Pitfalls
--------
- Overlapping windows (S < K): one pixel can win in several windows; `+=`, never `=`.
- Max pooling's padding is -∞, not 0: with 0 the border of a negative image would become 0.
- argmax counts within the window, a·KW + b, not within the image.
- Upsampling's backward is a sum, not a mean (average pooling's backward is the one that divides).
- Rows that no window reads get gradient 0: the shape of x is an argument, `input_size`.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error


def output_size(input_size, kernel, stride, padding):
    """(OH, OW) with OH = ⌊(H + 2PH - KH) / SH⌋ + 1."""
    (H, W), (KH, KW), (SH, SW), (PH, PW) = input_size, kernel, stride, padding
    return (H + 2 * PH - KH) // SH + 1, (W + 2 * PW - KW) // SW + 1


def max_pool2d_forward(x, kernel, stride, padding):
    """(y, argmax): y[i,j] = max_{a,b} xp[i·SH + a, j·SW + b], argmax[i,j] = a*·KW + b* (int32).

    x: (N, C, H, W);  y, argmax: (N, C, OH, OW). Complex numbers are compared by their real parts.
    """
    N, C, H, W = x.shape
    (KH, KW), (SH, SW), (PH, PW) = kernel, stride, padding
    OH, OW = output_size((H, W), kernel, stride, padding)
    xp = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)), constant_values=-np.inf)
    true = np.pad(np.ones((H, W), bool), ((PH, PH), (PW, PW)))  # (H+2PH, W+2PW), no padding
    y = np.empty((N, C, OH, OW), x.dtype)
    argmax = np.empty((N, C, OH, OW), np.int32)
    for n, c, i, j in np.ndindex(y.shape):
        window = xp[n, c, i * SH : i * SH + KH, j * SW : j * SW + KW]  # (KH, KW)
        pixels = np.flatnonzero(true[i * SH : i * SH + KH, j * SW : j * SW + KW])
        winner = pixels[window.real.flat[pixels].argmax()]  # read row by row; the first on ties
        y[n, c, i, j] = window.flat[winner]
        argmax[n, c, i, j] = winner
    return y, argmax


def max_pool2d_backward(dy, argmax, kernel, stride, padding, input_size):
    """dxp[i·SH + a*, j·SW + b*] += dy[i,j]; dx is its inside. input_size: (H, W)."""
    N, C = dy.shape[:2]
    (_, KW), (SH, SW), (PH, PW), (H, W) = kernel, stride, padding, input_size
    dxp = np.zeros((N, C, H + 2 * PH, W + 2 * PW), dy.dtype)
    for n, c, i, j in np.ndindex(dy.shape):
        a, b = divmod(argmax[n, c, i, j], KW)
        dxp[n, c, i * SH + a, j * SW + b] += dy[n, c, i, j]
    return dxp[:, :, PH : PH + H, PW : PW + W]


def avg_pool2d_forward(x, kernel, stride, padding):
    """y[i,j] = Σ_{a,b} xp[i·SH + a, j·SW + b] / (KH·KW). x: (N, C, H, W);  y: (N, C, OH, OW)."""
    N, C, H, W = x.shape
    (KH, KW), (SH, SW), (PH, PW) = kernel, stride, padding
    OH, OW = output_size((H, W), kernel, stride, padding)
    xp = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)))  # (N, C, H+2PH, W+2PW)
    y = np.empty((N, C, OH, OW), x.dtype)
    for i, j in np.ndindex(OH, OW):
        window = xp[:, :, i * SH : i * SH + KH, j * SW : j * SW + KW]  # (N, C, KH, KW)
        y[:, :, i, j] = window.sum(axis=(2, 3)) / (KH * KW)
    return y


def avg_pool2d_backward(dy, kernel, stride, padding, input_size):
    """dxp[i·SH + a, j·SW + b] += dy[i,j] / (KH·KW); dx is its inside. input_size: (H, W)."""
    N, C, OH, OW = dy.shape
    (KH, KW), (SH, SW), (PH, PW), (H, W) = kernel, stride, padding, input_size
    dxp = np.zeros((N, C, H + 2 * PH, W + 2 * PW), dy.dtype)
    for i, j in np.ndindex(OH, OW):
        share = dy[:, :, i, j] / (KH * KW)  # (N, C)
        dxp[:, :, i * SH : i * SH + KH, j * SW : j * SW + KW] += share[:, :, None, None]
    return dxp[:, :, PH : PH + H, PW : PW + W]


def upsample2d_forward(x, scale):
    """y[i,j] = x[i // SH, j // SW]. x: (N, C, H, W);  y: (N, C, H·SH, W·SW)."""
    SH, SW = scale
    rows = np.arange(x.shape[2] * SH) // SH
    cols = np.arange(x.shape[3] * SW) // SW
    return x[:, :, rows][:, :, :, cols]


def upsample2d_backward(dy, scale):
    """dx[p,q] = Σ_{a<SH, b<SW} dy[p·SH + a, q·SW + b]. dx: (N, C, H, W)."""
    N, C, OH, OW = dy.shape
    SH, SW = scale
    return dy.reshape(N, C, OH // SH, SH, OW // SW, SW).sum(axis=(3, 5))  # (N, C, H, SH, W, SW)


def demo():
    """A 3×4 image under 2×2 windows of stride 1, which overlap; then the checks."""
    x = np.array([[1.0, 5.0, 2.0, 0.0], [3.0, 9.0, 4.0, 8.0], [6.0, 7.0, 1.0, 2.0]])[None, None]
    dy = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[None, None]
    how = ((2, 2), (1, 1), (0, 0))  # kernel, stride, padding
    y, argmax = max_pool2d_forward(x, *how)
    print(f"x (1, 1, 3, 4) =\n{x[0, 0]}\nmax over 2×2 windows, stride 1 =\n{y[0, 0]}")
    print(f"argmax, 0 1 above 2 3 =\n{argmax[0, 0]}\ndy =\n{dy[0, 0]}")
    print(f"dx =\n{max_pool2d_backward(dy, argmax, *how, (3, 4))[0, 0]}")
    print("    9 won four windows: 1 + 2 + 4 + 5 = 12; 8 won two: 3 + 6 = 9\n")
    print(f"average =\n{avg_pool2d_forward(x, *how)[0, 0]}")
    print(f"dx =\n{avg_pool2d_backward(dy, *how, (3, 4))[0, 0]}")
    print("    the 9 lies in those four windows too: (1 + 2 + 4 + 5)/4 = 3\n")
    corner = x[:, :, :1, :2]
    print(f"upsampled 2×2 from {corner[0, 0]} =\n{upsample2d_forward(corner, (2, 2))[0, 0]}")
    block = np.arange(1.0, 9.0).reshape(1, 1, 2, 4)
    print(f"dy =\n{block[0, 0]}\ndx = {upsample2d_backward(block, (2, 2))[0, 0]}\n")

    rng = np.random.default_rng(0)
    x, how = rng.normal(size=(2, 2, 5, 6)), ((3, 2), (2, 1), (1, 1))
    y, argmax = max_pool2d_forward(x, *how)
    dy, dy_up = rng.normal(size=y.shape), rng.normal(size=(2, 2, 10, 18))
    dx_max = complex_step_gradient(lambda x: max_pool2d_forward(x, *how)[0], x, dy)
    dx_avg = complex_step_gradient(lambda x: avg_pool2d_forward(x, *how), x, dy)
    dx_up = complex_step_gradient(lambda x: upsample2d_forward(x, (2, 3)), x, dy_up)
    error = max(
        relative_error(max_pool2d_backward(dy, argmax, *how, (5, 6)), dx_max),
        relative_error(avg_pool2d_backward(dy, *how, (5, 6)), dx_avg),
        relative_error(upsample2d_backward(dy_up, (2, 3)), dx_up),
    )
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
