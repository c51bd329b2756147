"""The contractive penalty: how far a code moves when the input moves, ‖∂h/∂x‖²_F.

Symbols: N samples, D inputs, K code numbers, layers l = 1 … L of K_l outputs (K_0 = D, K_L = K).
x: (N, D)   w_l: (K_l, K_{l-1})   b_l: (K_l,)   y_l: (N, K_l), y_0 = x, h = y_L the code.
f' and f'_y, functions of y, are those of activations.py. δ[a,b] is 1 if a = b, else 0.

The penalty
-----------
The Jacobian of one sample's code, J[k,d] = ∂h[k]/∂x[d], says how h changes with x. Its squared
Frobenius norm is the sum of all its squares, and the penalty is that of the batch:

    P = scale · Σ_n ‖J_n‖²_F = scale · Σ_{n,k,d} (∂h[n,k]/∂x[n,d])²                        (1)

Added to a reconstruction error it makes the code deaf to every direction in which the data does not
vary; the directions in which it does are kept, because the reconstruction needs them.

One layer
---------
h[n,k] = f(a[n,k]) with a[n,k] = Σ_d x[n,d] w[k,d] + b[k]. By the chain rule

    J[n,k,d] = f'(h[n,k]) w[k,d]

    P = scale Σ_{n,k} f'(h[n,k])² s[k],       s[k] = Σ_d w[k,d]² = ‖w[k]‖²                 (2)

so (1), a sum over N·K·D numbers, costs no more than N·K of them once the s are known.

P depends on w and b in two ways: through s, and through h. First the one, with h held:

    ∂P/∂w[k,d] = scale Σ_n f'(h[n,k])² 2 w[k,d]              dw[k] = 2 scale w[k] Σ_n f'²  (3)

then the other, up to h; from there on it is an ordinary upstream gradient that joins that of the
reconstruction and goes through the backward pass of the layer (its a, w, b) as always:

    ∂P/∂h[n,k] = scale · 2 f' f'_y s[k]                      dy = 2 scale f' f'_y s        (4)

In terms of a: dP/da = 2 scale f' f'' s, because dh/da = f' and f'_y f' = f''. For the sigmoid
f' = h(1 - h), f'_y = 1 - 2h: the penalty pushes h away from ½, to where the sigmoid is flat.
For relu and its kin f'_y = 0: only ‖w‖ can be made smaller, or a unit switched off.

A stack
-------
With D_l = diag(f'(y_l[n])) the Jacobian of sample n is a product:

    J = D_L w_L D_{L-1} w_{L-1} … D_1 w_1                                                  (5)

Multiplied from the left it is backpropagation, started with each unit vector e_k of the code:

    U_L[k] = e_k
    V_l[k,n,:] = U_l[k,n,:] ⊙ f'(y_l[n,:])        back through the activation      (K, N, K_l)
    U_{l-1}[k,n,:] = V_l[k,n,:] w_l               back through the product         (K, N, K_{l-1})

and U_0[k,n,:] is row k of J_n. So P = scale Σ U_0², and the gradient of P is the backward pass of
this backward pass, run from l = 1 up to L ("double backpropagation", Drucker and LeCun 1991).
Starting with

    dU_0 = 2 scale U_0

each of the two steps gives two gradients:

    U'[m,j] = Σ_i V[m,i] w[i,j]
        dV[m,i] = Σ_j dU'[m,j] w[i,j]                            dV_l = dU_{l-1} w_lᵀ
        dw[i,j] = Σ_m V[m,i] dU'[m,j]                            dw_l = V_lᵀ dU_{l-1}
    V[k,n,i] = U[k,n,i] f'(y[n,i])
        dU[k,n,i] = dV[k,n,i] f'(y[n,i])                         dU_l = dV_l ⊙ f'
        dy[n,i] = Σ_k dV[k,n,i] U[k,n,i] f'_y(y[n,i])            for y_l

with m = (k, n). The sum over k stands there because all rows of J_n use the same y_l[n]. Each dy_l
is added to the upstream gradient of layer l in the ordinary backward pass, which carries it on to
w_l, b_l and the layers below; each dw_l is added to what that pass gives.

With L = 1: U_1[k,n,i] = δ[k,i], V_1[k,n,i] = δ[k,i] f'(y[n,i]), dV_1 = 2 scale V_1 w wᵀ; then
dy[n,i] = 2 scale f'(y[n,i]) ‖w[i]‖² f'_y, which is (4), and dw = V_1ᵀ dU_0 is (3).

Pitfalls
--------
- w alone is not the Jacobian: a weight-decay on w leaves out f', and with it the saturation.
- (3) and (4) are two parts; the second runs through the layer's own backward pass once more.
- The cost of a stack is K backward passes a sample. For one layer use (2).
- Small weights in the encoder, large ones in the decoder: the penalty is cheated by scaling. Tied
  weights (Rifai et al.), or a code bounded by a sigmoid, prevent it.

Sources: Rifai, Vincent, Muller, Glorot and Bengio, Contractive auto-encoders (ICML 2011); Drucker
and LeCun, Double backpropagation (1991).
"""

import numpy as np

from reference.activations import (
    bias_activation_backward,
    bias_activation_double_backward,
    bias_activation_forward,
)
from reference.complex_step import complex_step_gradient, relative_error
from reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient


def contractive_penalty(y, w, activation, slope, scale):
    """(2), (4) and (3): scale Σ f'(y)² ‖w[k]‖². y: (N, K);  w: (K, D). Returns (value, dy, dw)."""
    derivative, _ = bias_activation_backward(np.ones_like(y), y, activation, slope)  # f', (N, K)
    s = np.sum(w * w, axis=1)  # (K,)
    value = scale * np.sum(derivative * derivative * s)
    dy = bias_activation_double_backward(2 * scale * derivative * s, 1.0, y, activation, slope)
    dw = 2 * scale * w * np.sum(derivative * derivative, axis=0)[:, None]  # (K, D)
    return value, dy, dw


def stack_forward(x, layers):
    """[y_0 … y_L] of layers (w, b, activation, slope)."""
    ys = [x]
    for w, b, activation, slope in layers:
        ys.append(bias_activation_forward(dense_forward(ys[-1], w), b, activation, slope))
    return ys


def stack_penalty(ys, layers, scale):
    """(1) of a stack by double backpropagation: (value, [dy_1 … dy_L], [dw_1 … dw_L])."""
    N, K = ys[-1].shape
    U = [None] * len(layers) + [np.repeat(np.eye(K)[:, None, :], N, axis=1)]  # (K, N, K)
    V = [None] * (len(layers) + 1)
    for i in range(len(layers), 0, -1):
        w, _, activation, slope = layers[i - 1]
        V[i] = np.stack([bias_activation_backward(u, ys[i], activation, slope)[0] for u in U[i]])
        U[i - 1] = np.stack([dense_input_gradient(v, w) for v in V[i]])  # (K, N, K_{i-1})
    value = scale * np.sum(U[0] * U[0])

    dU, dys, dws = 2 * scale * U[0], [], []
    for i, (w, _, activation, slope) in enumerate(layers, 1):
        dV = np.stack([dense_forward(du, w) for du in dU])  # (K, N, K_i)
        dws.append(sum(dense_weight_gradient(du, v) for du, v in zip(dU, V[i], strict=True)))
        parts = zip(dV, U[i], strict=True)
        dys.append(
            sum(bias_activation_double_backward(dv, u, ys[i], activation, slope) for dv, u in parts)
        )
        dU = np.stack([bias_activation_backward(dv, ys[i], activation, slope)[0] for dv in dV])
    return value, dys, dws


def stack_gradients(x, layers, scale):
    """(1) and its gradients by every w and b: (value, [dw_1 … dw_L], [db_1 … db_L])."""
    ys = stack_forward(x, layers)
    value, dys, dws = stack_penalty(ys, layers, scale)
    upstream, dbs = np.zeros_like(ys[-1]), [None] * len(layers)
    for i in range(len(layers), 0, -1):
        w, _, activation, slope = layers[i - 1]
        da, dbs[i - 1] = bias_activation_backward(upstream + dys[i - 1], ys[i], activation, slope)
        dws[i - 1] = dws[i - 1] + dense_weight_gradient(ys[i - 1], da)
        upstream = dense_input_gradient(da, w)
    return value, dws, dbs


def demo():
    """The norm beside the Jacobian itself, then the gradients beside the complex step."""
    rng = np.random.default_rng(0)
    N, sizes, activations, scale = 3, (5, 4, 2), ("tanh", "sigmoid"), 0.7
    layers = [
        (rng.normal(size=(K, C)), rng.normal(size=K), activation, 0.3)
        for C, K, activation in zip(sizes, sizes[1:], activations, strict=False)
    ]
    x = rng.normal(size=(N, sizes[0]))

    def jacobian(n):
        rows = [
            complex_step_gradient(lambda x: stack_forward(x, layers)[-1], x[n : n + 1], e[None])
            for e in np.eye(sizes[-1])
        ]
        return np.concatenate(rows)  # (K, D)

    norms = [np.sum(jacobian(n) ** 2) for n in range(N)]
    value, dws, dbs = stack_gradients(x, layers, scale)
    print(f"‖J_n‖²_F of {N} samples, {sizes[0]}-{sizes[1]}-{sizes[2]}: {np.round(norms, 6)}")
    print(f"scale · their sum {scale * sum(norms):.9f}, by (5) {value:.9f}")
    assert abs(scale * sum(norms) - value) < 1e-12

    errors = []
    for i, (w, b, *kind) in enumerate(layers):

        def penalty_of(w, b, i=i, kind=kind):
            changed = [*layers[:i], (w, b, *kind), *layers[i + 1 :]]
            return stack_penalty(stack_forward(x, changed), changed, scale)[0]

        dw = complex_step_gradient(lambda w, b=b, f=penalty_of: f(w, b), w, 1.0)
        db = complex_step_gradient(lambda b, w=w, f=penalty_of: f(w, b), b, 1.0)
        errors += [relative_error(dws[i], dw), relative_error(dbs[i], db)]
    (w, b, activation, slope), y = layers[0], stack_forward(x, layers[:1])[-1]
    closed = contractive_penalty(y, w, activation, slope, scale)
    double = stack_penalty([x, y], layers[:1], scale)
    errors += [relative_error(closed[1], double[1][0]), relative_error(closed[2], double[2][0])]
    print(f"gradients against the complex step: max relative error {max(errors):.1e}")
    assert max(errors) <= 1e-10


if __name__ == "__main__":
    demo()
