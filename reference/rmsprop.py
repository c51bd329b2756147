"""RMSprop: each gradient divided by its running root mean square.

Symbols: w: (P,), all parameters in one vector. g: (P,), gradient. v: (P,), running average of g²,
zeros before the first step. η = lr, α = alpha < 1, ε = eps. Elementwise; below, one element.

Derivation
----------
The sign of the gradient alone (step η sign(g) = η g/|g| = η g/√(g²)) makes every weight move by η,
whatever the units. But with mini-batches it is wrong: a weight with gradient 0.1 on nine batches
and -0.9 on the tenth should stay where it is, and would move by -8η. The cure is to divide all ten
by nearly the same number, an average of g² over the last batches:

    v_t = α v_{t-1} + (1 - α) g_t² = (1 - α) Σ_{i=1}^{t} α^(t-i) g_i²                      (1)
    w_t = w_{t-1} - η g_t / (√v_t + ε)                                                     (2)

    code:   v = alpha * v + (1 - alpha) * g * g
            w = w - lr * g / (np.sqrt(v) + eps)

The weights of the average reach back about 1/(1 - α) steps: 100 for α = 0.99. Weight decay is a
penalty ½ λ Σ w² on the loss, g = dw + λ w, as in sgd.py.

The first steps are long
------------------------
(1) starts from v = 0 and, unlike in adam.py, nothing corrects it. For a constant gradient the
geometric series gives v_t = g² (1 - α^t), so step t is η/√(1 - α^t): for α = 0.99 ten η at first,
2.3 η at t = 20. Adam is RMSprop with that correction and an average of g on top.

Pitfalls
--------
- ε stands outside the root (PyTorch); some frameworks put it inside.
- α is what adam.py calls β2; PyTorch's default is 0.99, Hinton's 0.9.

Source: Tieleman and Hinton, Lecture 6.5, rmsprop (2012).
"""

import numpy as np


def rmsprop(w, dw, v, lr, alpha, eps, weight_decay):
    """One step. w, dw, v: (P,);  lr: number. Returns the new (w, v)."""
    g = dw + weight_decay * w
    v = alpha * v + (1 - alpha) * g * g
    w = w - lr * g / (np.sqrt(v) + eps)
    return w, v


def demo():
    """One step by hand, the long first steps, and the ten mini-batches of the derivation."""
    w, v = rmsprop(np.array([1.0]), np.array([2.0]), np.zeros(1), 0.1, 0.75, 0.0, 0.0)
    print(f"w = 1, g = 2, α ¾:  v = ¼ · 4 = {v[0]:.1f},  w = 1 - 0.1 · 2/1 = {w[0]:.1f}")
    assert np.isclose(v[0], 1.0) and np.isclose(w[0], 0.8)

    print("length of step t for a constant gradient, α = 0.99, in units of lr:")
    w, v = np.zeros(1), np.zeros(1)
    for t in range(1, 501):
        before = w
        w, v = rmsprop(w, np.ones(1), v, 1.0, 0.99, 0.0, 0.0)
        if t in (1, 20, 100, 500):
            print(
                f"  t = {t:3}  {(before - w)[0]:6.3f}   1/√(1 - α^t) = {(1 - 0.99**t) ** -0.5:6.3f}"
            )
            assert np.isclose((before - w)[0], (1 - 0.99**t) ** -0.5)

    batches = np.array(9 * [0.1] + [-0.9])  # their sum is 0: the weight should stay
    w, v = np.zeros(1), np.array([np.mean(batches**2)])
    for g in batches:
        w, v = rmsprop(w, np.array([g]), v, 1.0, 0.999, 0.0, 0.0)
    signs = -np.sign(batches).sum()
    print(f"ten batches whose gradients sum to 0: signs move by {signs}, RMSprop by {w[0]:.3f}")
    assert abs(w[0]) < 0.1


if __name__ == "__main__":
    demo()
