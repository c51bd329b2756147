"""Label planes before an unpadded convolution are a bias that depends on the class.

Symbols: N samples, C image channels, `classes` label channels, K output channels, KH×KW kernel.
x: (N, C, H, W)      label[n] in 0 … classes-1      y: (N, K, OH, OW)

The usual way
-------------
A conditional network shows the label to a convolution as `classes` extra channels: the one-hot
vector t[n,c] = [label[n] = c], spread over the image, t[n,c,p,q] = t[n,c] at every pixel. The
weight of the concatenation [x; t] is (K, C + classes, KH, KW). Cut it in two along the channels:

    wx: (K, C, KH, KW) for the image         w: (K, classes, KH, KW) for the label planes

What the planes add
-------------------
A convolution is linear in its input, so it is the sum of its two parts:

    conv([x; t])[n,k,i,j] = conv(x, wx)[n,k,i,j] + Σ_{c,a,b} w[k,c,a,b] t[n, c, i·SH + a·DH, …]

Without padding every tap of every output lies inside the image, where t is t[n,c] whatever the
pixel. So t leaves the sum over a, b, and i, j are gone:

    second term = Σ_c t[n,c] Σ_{a,b} w[k,c,a,b] = Σ_c t[n,c] table[k,c] = table[k, label[n]]

    table[k,c] = Σ_{a,b} w[k,c,a,b]          (K, classes)

This is `class_bias_forward`. The planes add to output k one number, the same at every position, for
any stride and dilation: a bias of shape (N, K), b[n,k] = b[k] + table[k, label[n]], which
`bias_activation_forward` adds. The convolution itself needs the C image channels only.

Backward
--------
    ∂table[k',c']/∂w[k,c,a,b] = [k = k'] [c = c']        each tap enters its sum with weight 1

    dw[k,c,a,b] = Σ_{k',c'} dtable[k',c'] [k = k'] [c = c'] = dtable[k,c]

This is `class_bias_backward`: all KH·KW taps of a class get the same gradient, because only their
sum is ever seen. How dtable comes about: b[n,k] depends on table[k,c] where label[n] = c,

    dtable[k,c] = Σ_n db[n,k] [label[n] = c] = Σ_n db[n,k] t[n,c]             dtable = dbᵀ t

with db[n,k] = Σ_{i,j} dy[n,k,i,j], `bias_activation_backward` with a bias a sample. Labels are
data: t needs no gradient.

With padding it fails
---------------------
The planes are padded with 0 like the image. Near the border some taps lie on the padding, and there
t is 0, not t[n,c]:

    second term = Σ_c t[n,c] Σ_{a,b} w[k,c,a,b] [0 <= p < H] [0 <= q < W]
                  with p = i·SH + a·DH - PH, q = j·SW + b·DW - PW

The brackets depend on i and j: inside they are all 1 and the constant is right, at the border taps
are missing. (It would hold again if the planes were padded with their own value.)

The same for a dense layer
--------------------------
Concatenate the one-hot label to a latent z: (N, Z), with weight [W_z; W_y] of shape
(K, Z + classes):

    ([z; t] Wᵀ)[n,k] = Σ_d z[n,d] W_z[k,d] + Σ_c t[n,c] W_y[k,c] = (z W_zᵀ)[n,k] + W_y[k, label[n]]

the case KH = KW = 1, where table = W_y.

Pitfalls
--------
- Sum over the taps, not the mean, and not over c.
- It needs one group: with several, a group sees only its own run of the channels.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error
from reference.conv2d import conv2d_forward
from reference.dense import dense_forward


def class_bias_forward(w):
    """table[k,c] = Σ_{a,b} w[k,c,a,b]. w: (K, classes, KH, KW);  table: (K, classes)."""
    return w.sum(axis=(2, 3))


def class_bias_backward(dtable, kernel_size):
    """dw[k,c,a,b] = dtable[k,c]. dtable: (K, classes);  dw: (K, classes, *kernel_size)."""
    K, classes = dtable.shape
    dw = np.empty((K, classes, *kernel_size), dtable.dtype)
    dw[:] = dtable[:, :, None, None]  # (K, classes, 1, 1)
    return dw


def demo():
    """Two classes, one 3×3 kernel each: what the planes add, without and with padding."""
    w = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 2, 1], [2, 4, 2], [1, 2, 1]]], float)
    w = w[None]  # (K=1, classes=2, KH=3, KW=3)
    planes = np.zeros((2, 2, 4, 4))  # (N, classes, H, W)
    planes[0, 0] = planes[1, 1] = 1.0
    print(f"w for class 0 =\n{w[0, 0]}\nw for class 1 =\n{w[0, 1]}")
    print(f"table = {class_bias_forward(w)}")
    unpadded = conv2d_forward(planes, w, (1, 1), (0, 0), (1, 1), 1)
    padded = conv2d_forward(planes, w, (1, 1), (1, 1), (1, 1), 1)
    print(f"the planes of class 1 add, without padding:\n{unpadded[1, 0]}")
    print(f"with padding 1 (border taps meet zeros):\n{padded[1, 0]}")
    dtable = np.array([[0.5, -1.0]])
    dw = class_bias_backward(dtable, (3, 3))
    print(f"dtable = {dtable}\ndw for class 1 =\n{dw[0, 1]}\n")

    rng = np.random.default_rng(0)
    labels = np.array([2, 0, 1, 2])
    t = np.eye(3)[labels]  # (N, classes)
    x, wx, w = (rng.normal(size=s) for s in [(4, 2, 6, 5), (3, 2, 3, 2), (3, 3, 3, 2)])
    planes = np.broadcast_to(t[:, :, None, None], (4, 3, 6, 5))  # (N, classes, H, W)
    how = ((2, 1), (0, 0), (1, 2), 1)
    wanted = conv2d_forward(np.concatenate([x, planes], 1), np.concatenate([wx, w], 1), *how)
    bias = t @ class_bias_forward(w).T  # (N, K)
    found = conv2d_forward(x, wx, *how) + bias[:, :, None, None]  # (N, K, OH, OW)
    concatenation = relative_error(found, wanted)
    z, wz, wy = (rng.normal(size=s) for s in [(4, 5), (6, 5), (6, 3)])
    wanted = dense_forward(np.concatenate([z, t], 1), np.concatenate([wz, wy], 1))
    dense = relative_error(dense_forward(z, wz) + wy[:, labels].T, wanted)
    dtable = rng.normal(size=(3, 3))
    dw = class_bias_backward(dtable, (3, 2))
    error = relative_error(dw, complex_step_gradient(class_bias_forward, w, dtable))
    print(f"class bias against the concatenation: relative error {concatenation:.1e}")
    print(f"the same for a dense layer: relative error {dense:.1e}")
    print(f"backward against the complex step: max relative error {error:.1e}")
    assert max(concatenation, dense, error) <= 1e-10


if __name__ == "__main__":
    demo()
