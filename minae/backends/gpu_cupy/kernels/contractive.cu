// The contractive penalty of one dense layer. Derivation: reference/contractive.py
//
// y: (N, K);  w: (K, D)
#include "common.cuh"
#include "activation.cuh"

// norms[k] = ‖w[k]‖². Block k.
extern "C" __global__ void squared_norms(const real *w, int D, real *norms) {
    const real *row = w + (long long)blockIdx.x * D;
    real sum = 0;
    for (int d = threadIdx.x; d < D; d += THREADS) sum += row[d] * row[d];
    double total = block_sum(sum);
    if (threadIdx.x == 0) norms[blockIdx.x] = total;
}

// value = factor · Σ f'² ‖w[k]‖²;  dy = 2 scale f' f'_y ‖w[k]‖², skipped where null
extern "C" __global__ void contractive_penalty(const real *y, const real *norms, int activation,
                                               real slope, real scale, int n, int K, real *dy,
                                               TOTAL) {
    auto term = [=](int i) {
        real g = derivative(y[i], activation, slope), norm = norms[i % K];
        if (dy != nullptr) dy[i] = 2 * scale * g * second(y[i], activation) * norm;
        return g * g * norm;
    };
    total_sum(term, n, partial, ticket, factor, value);
}

// slopes[k] = Σ f'² over the samples
extern "C" __global__ void squared_slopes(const real *y, int activation, real slope, real *slopes,
                                          CHANNELS) {
    auto term = [=](int i) {
        real g = derivative(y[i], activation, slope);
        return g * g;
    };
    auto done = [=](int k, double sum) { slopes[k] = sum; };
    channel_sums(term, done, N, K, L, samples, partial, tickets);
}

// dw[k, d] = 2 scale w[k, d] slopes[k], n = K·D
extern "C" __global__ void weight_gradient(const real *w, const real *slopes, real scale, int n,
                                           int D, real *dw) {
    int i = element();
    if (i < n) dw[i] = 2 * scale * w[i] * slopes[i / D];
}
