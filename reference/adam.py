"""Adam and AdamW: a step measured in units of the gradient's own size.

Symbols: w: (P,), all parameters in one vector. g: (P,), gradient. m, v: (P,), running averages of g
and g², zeros before the first step. t = 1, 2, 3, … counts steps; `step` = t - 1 is the number of
steps done before. η = lr, β1, β2 < 1 decay rates, ε = eps. All products, roots and quotients of
vectors are elementwise; below, one element.

The idea
--------
Plain descent w - η g has a step proportional to the gradient, so a loss in other units needs
another η and each parameter would like its own. Divide a running average of g by its running root
mean square:

    step = η · (average of g) / √(average of g²)                                           (1)

Since (E g)² <= E g², this is about η at most in size, whatever the units of the loss; it is near η
when the gradient keeps its sign and near 0 when it is mostly noise.

The averages
------------
    m_t = β1 m_{t-1} + (1 - β1) g_t,      m_0 = 0                                          (2)
    v_t = β2 v_{t-1} + (1 - β2) g_t²,     v_0 = 0                                          (3)

    code:   m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g

Why they are too small at first, and by how much
------------------------------------------------
Put (2) into itself until m_0 = 0 is reached:

    m_1 = (1 - β1) g_1
    m_2 = (1 - β1) (β1 g_1 + g_2)
    m_t = (1 - β1) Σ_{i=1}^{t} β1^(t-i) g_i

Suppose the gradients have one mean E[g]. Then, with j = t - i and the geometric series
Σ_{j=0}^{t-1} β^j = (1 - β^t)/(1 - β),

    E[m_t] = E[g] (1 - β1) Σ_{j=0}^{t-1} β1^j = E[g] (1 - β1^t).                           (4)

So m_t falls short by the known factor 1 - β1^t: the weights of the average do not sum to 1, because
m_0 = 0 is counted as if it were a gradient. Divide by it, and likewise for v:

    m̂_t = m_t / (1 - β1^t)          E[m̂_t] = E[g]
    v̂_t = v_t / (1 - β2^t)          E[v̂_t] = E[g²]

    code:   m_hat = m / (1 - beta1**t)
            v_hat = v / (1 - beta2**t)

Without it, at t = 1, β1 = 0.9, β2 = 0.999: m/√v = 0.1 g / √(0.001 g²) = 3.2, a step of 3.2 η. With
it m̂_1 = g_1 and v̂_1 = g_1², and

    w_1 = w_0 - η g/(|g| + ε) ≈ w_0 - η sign(g):

the first step moves every weight by η, whatever the gradient's size. That is a unit test, too.

    code:   w = w - lr * m_hat / (np.sqrt(v_hat) + eps)

Weight decay: two meanings
--------------------------
adam:   L2 penalty ½ λ Σ w² on the loss, g = dw + λ w, as in sgd.py. The penalty's gradient is then
        divided by √v̂ like the rest, so weights with large gradients decay least.
adamw:  decay taken out of the gradient: w times 1 - η λ, then Adam's step along dw alone.

    code:   adam(w - lr * weight_decay * w, dw, m, v, step, lr, beta1, beta2, eps, 0.0)

Pitfalls
--------
- t starts at 1. With t = 0 the corrections divide by zero; `step` is 0 at the first step, and
  t = step + 1.
- ε stands outside the root and acts on v̂. √(v̂ + ε), or ε beside an uncorrected √v, is another
  optimizer.
- A weight whose gradient is far below ε = 1e-8 hardly moves; one that was 0 for long has m = v = 0
  and jumps by 3.2 η when its gradient comes: t is large by then and nothing is corrected.
- β2 = 0.999 averages about 1000 steps: v remembers a spike that long.
- 1 - β1^t in float32 loses digits for β near 1: compute it in double precision.
- Adam hides a wrong scale of the gradient (a wrong reduction, say), since (1) does not depend on
  it.

Sources: Kingma and Ba, Adam (2014), algorithm 1; Loshchilov and Hutter, Decoupled weight decay
regularization (2017).
"""

import numpy as np


def adam(w, dw, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """One step of Adam, decay as a penalty. w, dw, m, v: (P,);  step: steps done before this one.

    Returns the new (w, m, v).
    """
    t = step + 1
    g = dw + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    return w, m, v


def adamw(w, dw, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """One step of Adam, decay decoupled: w -= lr weight_decay w, then adam with g = dw.

    Arguments and result as for adam.
    """
    return adam(w - lr * weight_decay * w, dw, m, v, step, lr, beta1, beta2, eps, 0.0)


def demo():
    """Two steps by hand, the bias correction in numbers, and the two kinds of decay."""
    w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    print("w = 1, lr 0.1, β1 ½, β2 ¾, eps 0;  gradients 2, then 1")
    first = 0.1 * 2 / 2  # m = v = 1;  m̂ = 1/(1 - ½) = 2,  v̂ = 1/(1 - ¾) = 4
    second = 0.1 * 7**0.5 / 3  # m = v = 1 again;  m̂ = 1/(1 - ¼) = 4/3,  v̂ = 1/(1 - 9/16) = 16/7
    for step, (g, wanted) in enumerate(((2.0, 1 - first), (1.0, 1 - first - second))):
        w, m, v = adam(w, np.array([g]), m, v, step, 0.1, 0.5, 0.75, 0.0, 0.0)
        print(f"  t = {step + 1}  m {m[0]:.2f}  v {v[0]:.2f}  w {w[0]:.4f}  by hand {wanted:.4f}")
        assert np.isclose(w[0], wanted)

    print("first step for gradients of very different size, lr 0.1:")
    g = np.array([1e-4, 1.0, -1e4])
    w, _, _ = adam(np.zeros(3), g, np.zeros(3), np.zeros(3), 0, 0.1, 0.9, 0.999, 1e-8, 0.0)
    print(f"  gradient {g}\n  moved by {w.round(4)}")
    assert np.allclose(w, -0.1 * np.sign(g), rtol=1e-3)

    print("constant gradient 1: m_t, 1 - 0.9^t, and their quotient")
    w, m, v = np.zeros(1), np.zeros(1), np.zeros(1)
    for step in range(4):
        w, m, v = adam(w, np.ones(1), m, v, step, 0.1, 0.9, 0.999, 1e-8, 0.0)
        correction = 1 - 0.9 ** (step + 1)
        print(f"  t = {step + 1}  {m[0]:.4f}  {correction:.4f}  {m[0] / correction:.4f}")
        assert np.isclose(m[0], correction)  # (4) with E[g] = 1

    print("one step from w = 1 with no loss gradient, lr 0.1, weight decay 0.01:")
    start = (np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1), 0, 0.1, 0.9, 0.999, 1e-8, 0.01)
    penalty, decoupled = adam(*start)[0][0], adamw(*start)[0][0]
    print(f"  adam {penalty:.4f} (a full step of lr!)   adamw {decoupled:.4f} = 1 - 0.1 · 0.01")
    assert np.isclose(penalty, 0.9) and np.isclose(decoupled, 0.999)


if __name__ == "__main__":
    demo()
