"""Bias and activation: y = f(x + b), its derivative written in terms of the output y.

Symbols: N samples, K channels, H×W positions (none of them after a dense layer).
x, y, dy, dx: (N, K) or (N, K, H, W)      b: None, (K,), or (N, K) for one bias a sample

Forward
-------
    a[n,k,h,w] = x[n,k,h,w] + b[k]               or + b[n,k]
    y[n,k,h,w] = f(a[n,k,h,w])

f acts on each element alone, so its Jacobian is diagonal, and the chain rule has one term:

    dx[n,k,h,w] = Σ dy ∂y/∂x = dy[n,k,h,w] f'(a[n,k,h,w])             dx = dy ⊙ f'(a)

b[k] enters every n, h, w, with derivative 1 each time; so its gradient is the sum of theirs:

    ∂a[n,k,h,w]/∂b[k'] = [k = k']
    db[k'] = Σ_{n,k,h,w} dx[n,k,h,w] [k = k'] = Σ_{n,h,w} dx[n,k',h,w]         db: (K,)

One bias a sample enters the positions of that sample only:

    db[n,k] = Σ_{h,w} dx[n,k,h,w]                                              db: (N, K)

f' in terms of y
----------------
Backward would need a = x + b. It is cheaper to keep y, which the next layer keeps anyway, and then
f can overwrite x. This works because each f below is monotonic, so that y settles f'(a):

identity    f = a                      f' = 1

relu        f = max(a, 0)              f' = [a > 0] = [y > 0]
            a > 0 gives y = a > 0, a <= 0 gives y = 0. At a = 0 we take 0.

leaky_relu  f = a if a > 0 else s a    f' = 1 if y > 0 else s
            For s >= 0, s a has the sign of a or is 0: y > 0 exactly where a > 0.

elu         f = a if a > 0 else s (exp(a) - 1)
            f' = s exp(a) for a <= 0; there exp(a) = y/s + 1, so f' = y + s.
            For s >= 0, y <= 0 exactly where a <= 0: f' = 1 if y > 0 else y + s

sigmoid     f = 1 / (1 + exp(-a))
            f' = exp(-a) / (1 + exp(-a))² = f · exp(-a)/(1 + exp(-a)) = f (1 - f):
            f' = y (1 - y)

tanh        f = (e^a - e^-a) / (e^a + e^-a)
            quotient rule: f' = ((e^a + e^-a)² - (e^a - e^-a)²) / (e^a + e^-a)² = 1 - f²:
            f' = 1 - y²

softplus    f = log(1 + exp(a))
            f' = exp(a) / (1 + exp(a)) = 1 - 1/(1 + exp(a)), and 1 + exp(a) = exp(y):
            f' = 1 - exp(-y)

Backward, backward
------------------
A penalty on a Jacobian (contractive.py) contains f' itself, so it is differentiated once more. The
backward pass of the activation is a function of u (what comes from above) and of y:

    v[n,k] = u[n,k] f'(y[n,k])                                             v = u ⊙ f'

and it is linear in u: the gradient by u is dv ⊙ f', the same backward pass again. By y it is

    dy[n,k] = dv[n,k] u[n,k] f'_y(y[n,k]),     f'_y = the derivative of f' by y.

From the list above: identity, relu and leaky_relu 0 (their f' is constant on either side of the
kink); elu 1 where y <= 0, else 0; sigmoid 1 - 2y; tanh -2y; softplus exp(-y). As y = f(a), the
chain rule gives the second derivative by a: f''(a) = f'_y f'; for tanh -2y (1 - y²).

Without overflow
----------------
exp(a) overflows for large a. With m = -|a| <= 0, exp(m) is at most 1:

    sigmoid    a > 0: 1 / (1 + exp(m))        a <= 0: multiply above and below by exp(a) = exp(m):
               exp(m) / (1 + exp(m))
    softplus   a > 0: log(exp(a) (exp(-a) + 1)) = a + log(1 + exp(m))     a <= 0: log(1 + exp(m))
               together: max(a, 0) + log1p(exp(m))

Pitfalls
--------
- f' needs y, not dy or x: `dy * (1 - y * y)`; sigmoid(y)(1 - sigmoid(y)) applies f twice.
- A negative s breaks [y > 0] = [a > 0]: `slope` must be >= 0.
- 1 - exp(-y) loses digits where y is small (a ≪ 0); expm1 keeps them: f' = -expm1(-y).
- db is a sum of dx = dy ⊙ f', not of dy.
- f' at the kink of relu and leaky_relu is a choice; we take the left branch, as PyTorch does.
- max(a, 0) of a NaN is a NaN, so that divergence shows; `a if a > 0 else 0` would hide it. f' asks
  [y > 0], which is false of a NaN.
"""

import numpy as np

from reference.complex_step import complex_step_gradient, relative_error

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus")


def bias_activation_forward(x, b, activation, slope):
    """y = f(x + b). x, y: (N, K) or (N, K, H, W);  b: None, (K,) or (N, K);  slope: s above."""
    shift = 0 if b is None else b.reshape(b.shape + (1,) * (x.ndim - 2))  # (K,1,1) or (N,K,1,1)
    a = x + shift
    positive = a.real > 0
    m = np.where(positive, -a, a)  # -|a|
    match activation:
        case "identity":
            return a
        case "relu":
            return np.where(a.real <= 0, 0, a)  # NaN stays NaN
        case "leaky_relu":
            return np.where(positive, a, slope * a)
        case "elu":
            return np.where(positive, a, slope * np.expm1(m))
        case "sigmoid":
            return np.where(positive, 1, np.exp(m)) / (1 + np.exp(m))
        case "tanh":
            return np.tanh(a)
        case "softplus":
            return np.where(positive, a, 0) + np.log1p(np.exp(m))
    raise ValueError(f"activation {activation!r} is none of {ACTIVATIONS}")


def bias_activation_backward(dy, y, activation, slope, per_sample=False):
    """(dx, db): dx = dy ⊙ f', f' from y. dx: shape of dy;  db: (K,), or (N, K) if per_sample."""
    match activation:
        case "identity":
            dx = dy.copy()
        case "relu":
            dx = np.where(y.real > 0, dy, 0)
        case "leaky_relu":
            dx = np.where(y.real > 0, dy, slope * dy)
        case "elu":
            dx = np.where(y.real > 0, dy, (y + slope) * dy)
        case "sigmoid":
            dx = dy * y * (1 - y)
        case "tanh":
            dx = dy * (1 - y * y)
        case "softplus":
            dx = dy * -np.expm1(-y)
        case _:
            raise ValueError(f"activation {activation!r} is none of {ACTIVATIONS}")
    db = dx.sum(axis=tuple(range(2, dx.ndim)))  # (N, K)
    return dx, db if per_sample else db.sum(axis=0)


def bias_activation_double_backward(dv, u, y, activation, slope):
    """dy = dv ⊙ u ⊙ f'_y, the gradient by y of Σ dv ⊙ (u ⊙ f'). All (N, K)."""
    match activation:
        case "identity" | "relu" | "leaky_relu":
            return 0 * dv * u
        case "elu":
            return np.where(y.real > 0, 0, dv * u)
        case "sigmoid":
            return dv * u * (1 - 2 * y)
        case "tanh":
            return -2 * dv * u * y
        case "softplus":
            return dv * u * np.exp(-y)
    raise ValueError(f"activation {activation!r} is none of {ACTIVATIONS}")


def demo():
    """Each f and f' on four numbers; then the check on random numbers."""
    x, b = np.array([[-2.0], [-0.5], [0.5], [1.5]]), np.array([0.5])
    dy, slope = np.ones_like(x), 0.1
    with np.printoptions(precision=4, suppress=True):
        print(f"x + b = {(x + b)[:, 0]},  slope {slope}")
        for activation in ACTIVATIONS:
            y = bias_activation_forward(x, b, activation, slope)
            dx, db = bias_activation_backward(dy, y, activation, slope)
            print(f"{activation:10}  y = {y[:, 0]}\n{'':10}  f' = {dx[:, 0]}, db for dy = 1: {db}")

    rng = np.random.default_rng(0)
    x, b, dy = rng.normal(size=(2, 3, 2, 2)), rng.normal(size=3), rng.normal(size=(2, 3, 2, 2))

    def largest_error(activation):
        def f(x, b):
            return bias_activation_forward(x, b, activation, slope)

        dx, db = bias_activation_backward(dy, f(x, b), activation, slope)
        return max(
            relative_error(dx, complex_step_gradient(lambda x: f(x, b), x, dy)),
            relative_error(db, complex_step_gradient(lambda b: f(x, b), b, dy)),
        )

    def error_of_the_second(activation):
        y = bias_activation_forward(x, b, activation, slope)[:, :, 0, 0]
        u, dv = rng.normal(size=(2, *y.shape))
        found = bias_activation_double_backward(dv, u, y, activation, slope)
        wanted = complex_step_gradient(
            lambda y: bias_activation_backward(u, y, activation, slope)[0], y, dv
        )
        return np.abs(found - wanted).max()

    assert max(error_of_the_second(activation) for activation in ACTIVATIONS) <= 1e-12
    error = max(largest_error(activation) for activation in ACTIVATIONS)
    print(f"\nbackward against the complex step: max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
