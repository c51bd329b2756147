// Batch normalization. Derivation: reference/batch_norm.py
//
// x, y: (N, C, L), L = H·W, or 1 for a matrix; M = N·L numbers a channel. Sums over a channel have
// two stages: chunks of samples (partial: (chunks, C)), then the chunks in order.
#include "common.cuh"

extern "C" __global__ void batch_norm_sums(const real *x, int N, int C, int L, int samples,
                                           double *partial) {
    channel_sums([=](int i) { return x[i]; }, N, C, L, samples, partial);
}

extern "C" __global__ void batch_norm_mean(const double *partial, int chunks, int C, double M,
                                           real *mean) {
    int c = element();
    if (c >= C) return;
    double sum = 0;
    for (int chunk = 0; chunk < chunks; chunk++) sum += partial[chunk * C + c];
    mean[c] = sum / M;
}

// of (x - mean)²: a second pass, so that no digits cancel where the mean is large
extern "C" __global__ void batch_norm_squares(const real *x, const real *mean, int N, int C, int L,
                                              int samples, double *partial) {
    auto term = [=](int i) {
        real e = x[i] - mean[i / L % C];
        return e * e;
    };
    channel_sums(term, N, C, L, samples, partial);
}

// inv_std = (var + eps)^(-1/2), and the running statistics, the variance with divisor M - 1
extern "C" __global__ void batch_norm_statistics(const double *partial, int chunks, int C, double M,
                                                 double momentum, double eps, const real *mean,
                                                 real *inv_std, real *running_mean,
                                                 real *running_var) {
    int c = element();
    if (c >= C) return;
    double squares = 0;
    for (int chunk = 0; chunk < chunks; chunk++) squares += partial[chunk * C + c];
    inv_std[c] = 1 / sqrt(squares / M + eps);
    running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c];
    running_var[c] = (1 - momentum) * running_var[c] + momentum * squares / (M - 1);
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

// partial = Σ dy x̂, x̂ = (x - mean) inv_std
extern "C" __global__ void batch_norm_dgamma(const real *dy, const real *x, const real *mean,
                                             const real *inv_std, int N, int C, int L, int samples,
                                             double *partial) {
    auto term = [=](int i) {
        int c = i / L % C;
        return dy[i] * ((x[i] - mean[c]) * inv_std[c]);
    };
    channel_sums(term, N, C, L, samples, partial);
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
