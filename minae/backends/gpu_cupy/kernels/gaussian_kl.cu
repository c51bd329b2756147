// KL(N(mean, exp(log_var)) ‖ N(0, 1)) and its gradients. Derivation: reference/gaussian_kl.py
//
// All (N, Z); halves of (N, 2Z) have rows further apart: a stride for each array.
#include "common.cuh"

// value = factor · Σ mean² + exp(log_var) - 1 - log_var;  dmean = scale mean;
// dlog_var = scale ½ (exp(log_var) - 1). Gradients are skipped where null.
extern "C" __global__ void gaussian_kl(const real *mean, int mean_row, const real *log_var,
                                       int log_var_row, real scale, int n, int Z, real *dmean,
                                       int dmean_row, real *dlog_var, int dlog_var_row,
                                       TOTAL) {
    auto term = [=](int i) {
        int row = i / Z, z = i % Z;
        real m = mean[row * mean_row + z], v = log_var[row * log_var_row + z];
        real e = expm1(v);
        if (dmean != nullptr) {
            dmean[row * dmean_row + z] = scale * m;
            dlog_var[row * dlog_var_row + z] = scale * real(0.5) * e;
        }
        return m * m + (e - v);
    };
    total_sum(term, n, partial, ticket, factor, value);
}
