"""Stochastic gradient descent with momentum, Nesterov's variant and weight decay.

Symbols: w: (P,), all parameters in one vector. dw: (P,), the loss gradient at w. v = velocity:
(P,), zeros before the first step. lr: learning rate η. μ: momentum, 0 <= μ < 1. λ: weight decay. A
prime marks the value after the step.

Plain descent
-------------
To first order a small step Δ changes the loss by

    L(w + Δ) - L(w) ≈ Σ_i dw_i Δ_i,

and among all Δ of one length this is least for Δ opposite to dw (Cauchy-Schwarz). Hence

    w' = w - η dw.

Along a direction of curvature c (L = ½ c w²) this is w' = (1 - η c) w, which shrinks only if
η < 2/c: the steepest direction bounds η, and a direction a hundred times flatter then takes a
hundred times as many steps. Momentum is the remedy.

Momentum
--------
Keep a velocity that forgets slowly, and step along it:

    v' = μ v + g                                                                           (1)
    w' = w - η v'                                                                          (2)

    code:   velocity = momentum * velocity + g
            w = w - lr * (g + momentum * velocity if nesterov else velocity)

where (2) is the case after `else`; the other follows below.

Unrolled from v = 0, the velocity after step t is Σ_{i<=t} μ^(t-i) g_i: gradients that agree add up,
to g (1 + μ + μ² + …) = g/(1 - μ) in the end, ten times the plain step for μ = 0.9; gradients that
alternate in sign shrink, to g/(1 + μ).

Nesterov
--------
Ordinary momentum measures the gradient at w though it knows that η μ v will be walked anyway.
Nesterov measures it at the place looked ahead to:

    ahead = w - η μ v,      v' = μ v + g(ahead),      w' = w - η v'                        (3)

A network can hand out g only at the parameters it holds. So let it hold `ahead`, not w. After a
step

    ahead' = w' - η μ v'
           = w - η v' - η μ v'                       by (3)
           = ahead + η μ v - η v' - η μ v'           as w = ahead + η μ v
           = ahead - η (v' - μ v) - η μ v'
           = ahead - η (g + μ v')                    as v' - μ v = g.                      (4)

Writing w for `ahead`, (4) is the case before `else`. (The change of variables assumes that η and μ
stay the same from step to step; if η is scheduled, (4) is the definition, as in PyTorch.)

Weight decay
------------
A penalty ½ λ Σ w² on the loss has the gradient λ w, added to dw:

    code:   g = dw + weight_decay * w

With plain descent w' = (1 - η λ) w - η dw: weights decay by a constant factor, hence the name.

Pitfalls
--------
- Some texts write v' = μ v - η g, w' = w + v'. That is the same while η is constant. After a change
  of η, (2) scales the whole velocity at once; theirs scales only what is added from then on.
- Others write v' = μ v + (1 - μ) g. There η is larger by 1/(1 - μ) for the same path.
- η multiplies a gradient, so it depends on the loss's reduction (losses.py).

Sources: Polyak (1964); Nesterov (1983); Sutskever et al., On the importance of initialization and
momentum in deep learning (2013), for (3).
"""

import numpy as np


def sgd(w, dw, velocity, lr, momentum, weight_decay, nesterov):
    """One step. w, dw, velocity: (P,);  lr: number. Returns the new (w, velocity)."""
    g = dw + weight_decay * w
    velocity = momentum * velocity + g
    w = w - lr * (g + momentum * velocity if nesterov else velocity)
    return w, velocity


def demo():
    """Two steps by hand, the gain of momentum in a long valley, and Nesterov as a look-ahead."""
    w, velocity, dw = np.array([1.0]), np.zeros(1), np.array([2.0])
    print("w = 1, dw = 2 twice, lr 0.1, momentum ½")
    for by_hand in (1 - 0.1 * 2, 1 - 0.1 * 2 - 0.1 * (0.5 * 2 + 2)):
        w, velocity = sgd(w, dw, velocity, 0.1, 0.5, 0.0, False)
        print(f"  velocity {velocity[0]:.1f}  w {w[0]:.2f}  by hand {by_hand:.2f}")
        assert np.isclose(w[0], by_hand)

    curvature = np.array([1.0, 100.0])  # L = ½ Σ c w², so dw = c w

    def distance(momentum, nesterov):
        w, velocity = np.ones(2), np.zeros(2)
        for _ in range(100):
            w, velocity = sgd(w, curvature * w, velocity, 0.01, momentum, 0.0, nesterov)
        return np.linalg.norm(w)

    print("distance to the minimum after 100 steps, curvatures 1 and 100, lr 0.01:")
    for name, momentum, nesterov in (
        ("plain", 0.0, False),
        ("momentum 0.8", 0.8, False),
        ("nesterov 0.8", 0.8, True),
    ):
        print(f"  {name:13} {distance(momentum, nesterov):.1e}")
    assert max(distance(0.8, False), distance(0.8, True)) < 0.01 * distance(0.0, False)

    lr, momentum = 0.01, 0.8
    w, v = np.ones(2), np.zeros(2)  # (3), the look-ahead written as it is meant
    held, velocity = np.ones(2), np.zeros(2)  # (4), the code
    for _ in range(20):
        v_next = momentum * v + curvature * (w - lr * momentum * v)
        w, v = w - lr * v_next, v_next
        held, velocity = sgd(held, curvature * held, velocity, lr, momentum, 0.0, True)
    difference = np.abs(held - (w - lr * momentum * v)).max()
    print(f"what (4) holds against the look-ahead point of (3), 20 steps: {difference:.1e}")
    assert difference < 1e-12


if __name__ == "__main__":
    demo()
