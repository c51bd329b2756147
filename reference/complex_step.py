"""The complex step: derivatives exact to rounding, from function values alone.

Every backward pass in this folder is checked against the one function below, so read it first.

What is wanted
--------------
f maps x (any shape, elements x_i) to f(x) (any shape, elements f_j). Something further down the
network turns f(x) into a loss L, and backpropagation hands us the upstream gradient
g_j = dL/df_j, an array of the shape of f(x). The chain rule says what a backward pass must return:

    dL/dx_i = Σ_j g_j ∂f_j/∂x_i                                       shape of x

For a fixed g this is the plain derivative of the real number Σ_j g_j f_j(x). So a backward pass can
be checked with any g whatever; a random one is used, because with g = 1 many mistakes cancel.

One variable
------------
Let f be given by a convergent power series (all that is built from + - · / exp log √ is). Step from
the real point x a distance h in the imaginary direction, and expand:

    f(x + ih) = f(x) + ih f'(x) - h²/2 f''(x) - ih³/6 f'''(x) + …

f and its derivatives are real at x. Take the imaginary part and divide by h:

    Im f(x + ih) / h = f'(x) - h²/6 f'''(x) + …                       error O(h²)

Why there is no cancellation
----------------------------
A difference quotient (f(x + h) - f(x - h)) / 2h subtracts two numbers that agree in most digits.
Each carries a rounding error of about ε|f|, ε = 2.2e-16, so the quotient carries ε|f|/h, on top of
the truncation error h²/6 |f'''|. One grows as the other shrinks; the best h is near ε^(1/3), and
about five of sixteen digits are lost.

The complex step subtracts nothing: f(x) lives in the real part, h f'(x) in the imaginary part, and
floating point keeps a separate exponent for each. h can be so small that the truncation error h² is
far below rounding: with h = 1e-30 it is 1e-60. What remains is the rounding of f's own arithmetic,
a few ε. (h must not be so small that products underflow: 1e-30 leaves 278 decades to spare.)

Many variables
--------------
Put ih on one element of x at a time, and take the imaginary part of the weighted sum:

    dL/dx_i = Im( Σ_j g_j f_j(x + ih e_i) ) / h        e_i: 1 at element i, else 0

which is the line of code in the loop. It costs one evaluation of f an element: for checks only.

Pitfalls
--------
f must let the imaginary part through. |x|, conj(x) and x.real are not analytic: a function that
uses them, or a Hermitian transpose, gives a wrong answer in silence. Branches compare real parts
(`np.where(x.real > 0, x, 0)`), so the branch that the real program takes is the one differentiated.
At a kink that gives the derivative of the branch taken: draw inputs away from kinks.

Sources: W. Squire, G. Trapp, Using complex variables to estimate derivatives of real functions,
SIAM Review 40 (1998); J. Martins, P. Sturdza, J. Alonso, The complex-step derivative approximation,
ACM TOMS 29 (2003).
"""

import numpy as np


def complex_step_gradient(f, x, upstream, h=1e-30):
    """dL/dx for L = Σ upstream · f(x), to rounding. x: float64;  upstream: shape of f(x)."""
    dx = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        z = x.astype(np.complex128)
        z[i] += 1j * h
        dx[i] = np.sum(upstream * f(z)).imag / h
    return dx


def relative_error(found, wanted):
    """‖found - wanted‖ / ‖wanted‖ over all elements; NaN, which passes no check, if wanted is 0."""
    if found.shape != wanted.shape:
        raise ValueError(f"found shape {found.shape}, wanted {wanted.shape}")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.linalg.norm((found - wanted).ravel()) / np.linalg.norm(wanted.ravel())


def demo():
    """f(x) = exp(x) / (sin³x + cos³x), the example of Squire and Trapp, at x = 1.5."""

    def f(x):
        return np.exp(x) / (np.sin(x) ** 3 + np.cos(x) ** 3)

    def derivative(x):
        s, c = np.sin(x), np.cos(x)
        q = s**3 + c**3
        return np.exp(x) * (q - 3 * s * c * (s - c)) / q**2

    x, one = np.array([1.5]), np.array([1.0])
    exact = derivative(x)
    print(f"f({x[0]}) = {f(x)[0]:.12f},  f'({x[0]}) = {exact[0]:.12f}\n")
    print("relative error of f'\n    h        central difference   complex step")
    for h in 10.0 ** -np.array([1, 3, 5, 8, 12, 30]):
        central = (f(x + h) - f(x - h)) / (2 * h)
        step = complex_step_gradient(f, x, one, h)
        print(f"    {h:.0e}    {relative_error(central, exact):.1e}", end="              ")
        print(f"{relative_error(step, exact):.1e}")

    rng = np.random.default_rng(0)
    x, upstream = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    error = relative_error(complex_step_gradient(f, x, upstream), upstream * derivative(x))
    print(f"\nrandom x and upstream (2, 3): max relative error {error:.1e}")
    assert error <= 1e-10


if __name__ == "__main__":
    demo()
