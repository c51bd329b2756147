// Batch normalization. Derivation: reference/batch_norm.py
//
// x, y: (N, K, L), L = H·W, or 1 for a matrix; M = N·L numbers a channel.
#include "common.cuh"

// out[k] = Σ x / M: the mean, or with M = 1 dbeta
extern "C" __global__ void batch_norm_mean(const real *x, double M, real *out, CHANNELS) {
    auto done = [=](int k, double sum) { out[k] = sum / M; };
    channel_sums([=](int i) { return x[i]; }, done, N, K, L, samples, partial, tickets);
}

// inv_std = (var + eps)^(-1/2), and the running statistics, the variance with divisor M - 1. The sum
// of (x - mean)² is a second pass, so that no digits cancel where the mean is large.
extern "C" __global__ void batch_norm_statistics(const real *x, const real *mean, double M,
                                                 double momentum, double eps, real *inv_std,
                                                 real *running_mean, real *running_var, CHANNELS) {
    auto term = [=](int i) {
        real e = x[i] - mean[i / L % K];
        return e * e;
    };
    auto done = [=](int k, double squares) {
        inv_std[k] = 1 / sqrt(squares / M + eps);
        running_mean[k] = (1 - momentum) * running_mean[k] + momentum * mean[k];
        running_var[k] = (1 - momentum) * running_var[k] + momentum * squares / (M - 1);
    };
    channel_sums(term, done, N, K, L, samples, partial, tickets);
}

// y = gamma (x - mean) inv_std + beta
extern "C" __global__ void batch_norm_forward(const real *x, const real *gamma, const real *beta,
                                              const real *mean, const real *inv_std, int n, int C,
                                              int L, real *y) {
    int i = element();
    if (i >= n) return;
    int c = i / L % C;
    y[i] = gamma[c] * ((x[i] - mean[c]) * inv_std[c]) + beta[c];
}

// y = gamma (x - running_mean) (running_var + eps)^(-1/2) + beta
extern "C" __global__ void batch_norm_inference(const real *x, const real *gamma, const real *beta,
                                                const real *running_mean, const real *running_var,
                                                real eps, int n, int C, int L, real *y) {
    int i = element();
    if (i >= n) return;
    int c = i / L % C;
    y[i] = gamma[c] * ((x[i] - running_mean[c]) / sqrt(running_var[c] + eps)) + beta[c];
}

// dgamma = Σ dy x̂, x̂ = (x - mean) inv_std
extern "C" __global__ void batch_norm_dgamma(const real *dy, const real *x, const real *mean,
                                             const real *inv_std, real *dgamma, CHANNELS) {
    auto term = [=](int i) {
        int k = i / L % K;
        return dy[i] * ((x[i] - mean[k]) * inv_std[k]);
    };
    auto done = [=](int k, double sum) { dgamma[k] = sum; };
    channel_sums(term, done, N, K, L, samples, partial, tickets);
}

// dx = gamma inv_std (dy - dbeta/M - x̂ dgamma/M)
extern "C" __global__ void batch_norm_backward(const real *dy, const real *x, const real *gamma,
                                               const real *mean, const real *inv_std,
                                               const real *dgamma, const real *dbeta, real M, int n,
                                               int C, int L, real *dx) {
    int i = element();
    if (i >= n) return;
    int c = i / L % C;
    real x_hat = (x[i] - mean[c]) * inv_std[c];
    dx[i] = gamma[c] * inv_std[c] * (dy[i] - dbeta[c] / M - x_hat * (dgamma[c] / M));
}
