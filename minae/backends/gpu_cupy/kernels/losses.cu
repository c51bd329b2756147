// Losses: the value and the gradient in one pass. Derivation: reference/losses.py
//
// value = factor · Σ. The gradient is skipped where its array is null; it may be the array of the
// predictions.
#include "common.cuh"

// value: Σ softplus(a) - a t;  dlogits = scale (σ(a) - t). One exponential serves both.
extern "C" __global__ void bce_with_logits(const real *logits, const real *t, real scale, int n,
                                           real *dlogits, TOTAL) {
    auto term = [=](int i) {
        real a = logits[i];
        real e = exp(-fabs(a)), p = (a > 0 ? real(1) : e) / (1 + e);
        real loss = (a > 0 ? a : real(0)) - a * t[i] + log1p(e);
        if (dlogits != nullptr) dlogits[i] = scale * (p - t[i]);
        return loss;
    };
    total_sum(term, n, partial, ticket, factor, value);
}

// value: Σ -(t log p + (1 - t) log(1 - p)), logarithms held at -100;  dp = scale (p - t) / (p (1 - p))
extern "C" __global__ void bce(const real *p, const real *t, real scale, int n, real *dp,
                               TOTAL) {
    auto held = [](real logarithm) { return logarithm < -100 ? real(-100) : logarithm; };
    auto term = [=](int i) {
        real variance = p[i] * (1 - p[i]);
        real loss = -(t[i] * held(log(p[i])) + (1 - t[i]) * held(log1p(-p[i])));
        variance = variance < real(1e-12) ? real(1e-12) : variance;
        if (dp != nullptr) dp[i] = scale * (p[i] - t[i]) / variance;
        return loss;
    };
    total_sum(term, n, partial, ticket, factor, value);
}

// value: Σ (y - t)²;  dy = 2 scale (y - t)
extern "C" __global__ void mse(const real *y, const real *t, real scale, int n, real *dy,
                               TOTAL) {
    auto term = [=](int i) {
        real e = y[i] - t[i];
        if (dy != nullptr) dy[i] = 2 * scale * e;
        return e * e;
    };
    total_sum(term, n, partial, ticket, factor, value);
}

// value: Σ |y - t|;  dy = scale · sign(y - t), sign(0) = 0
extern "C" __global__ void l1(const real *y, const real *t, real scale, int n, real *dy,
                              TOTAL) {
    auto term = [=](int i) {
        real e = y[i] - t[i];
        if (dy != nullptr) dy[i] = e > 0 ? scale : e < 0 ? -scale : e;  // 0, or NaN
        return fabs(e);
    };
    total_sum(term, n, partial, ticket, factor, value);
}
