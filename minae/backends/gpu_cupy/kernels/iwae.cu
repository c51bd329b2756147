// The importance-weighted bound. Derivation: reference/iwae.py
//
// k draws of N samples: logits (k, N, D);  t (N, D);  z, eps (k, N, Z);  log_var (N, Z).
#include "common.cuh"

// out[i, n] = -Σ_d bce - ½ Σ_j (z² - eps² - log_var). Block (n, i).
extern "C" __global__ void importance_weights_forward(const real *logits, const real *t,
                                                      const real *z, const real *eps,
                                                      const real *log_var, int D, int Z,
                                                      real *out) {
    const long long draw = (long long)blockIdx.y * gridDim.x + blockIdx.x, n = blockIdx.x;
    real sum = 0;
    for (int d = threadIdx.x; d < D; d += THREADS) {
        real a = logits[draw * D + d];
        sum -= (a > 0 ? a : real(0)) - a * t[n * D + d] + log1p(exp(-fabs(a)));
    }
    for (int j = threadIdx.x; j < Z; j += THREADS) {
        real code = z[draw * Z + j], e = eps[draw * Z + j];
        sum -= real(0.5) * (code * code - e * e - log_var[n * Z + j]);
    }
    double total = block_sum(sum);
    if (threadIdx.x == 0) out[draw] = total;
}

// dlogits = weights (σ(logits) - t), count = k·N·D, each = N·D. logits may be dlogits.
extern "C" __global__ void weighted_logits(const real *weights, const real *logits, const real *t,
                                           int count, int each, int D, real *dlogits) {
    int i = element();
    if (i >= count) return;
    real a = logits[i], e = exp(-fabs(a));
    dlogits[i] = weights[i / D] * ((a > 0 ? real(1) : e) / (1 + e) - t[i % each]);
}

// dz = weights z, count = k·N·Z
extern "C" __global__ void weighted_codes(const real *weights, const real *z, int count, int Z,
                                          real *dz) {
    int i = element();
    if (i < count) dz[i] = weights[i / Z] * z[i];
}

// value = factor · Σ_n log (1/k Σ_i exp(log_w[i, n]));  weights = scale · softmax over i, skipped where
// null. Block n.
extern "C" __global__ void importance_bound(const real *log_w, real scale, int k, int N,
                                            real *weights, TOTAL) {
    const real *column = log_w + blockIdx.x;
    real top = column[0];
    for (int i = threadIdx.x; i < k; i += THREADS) {
        if (!(column[(long long)i * N] <= top)) top = column[(long long)i * N];
    }
    top = block_max(top);
    real sum = 0;
    for (int i = threadIdx.x; i < k; i += THREADS) sum += exp(column[(long long)i * N] - top);
    sum = block_sum(sum);
    double bound = threadIdx.x == 0 ? log(sum / k) + top : real(0);
    for (int i = threadIdx.x; weights != nullptr && i < k; i += THREADS) {
        weights[(long long)i * N + blockIdx.x] = scale * exp(column[(long long)i * N] - top) / sum;
    }
    if (grid_sum(bound, partial, ticket)) value[0] = factor * bound;
}
