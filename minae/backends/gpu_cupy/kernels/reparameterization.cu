// z = mean + exp(½ log_var) ⊙ eps with a given eps. Derivation: reference/reparameterization.py
//
// All (N, Z); halves of (N, 2Z) have rows further apart: a stride for each array that may be one.
#include "common.cuh"

extern "C" __global__ void reparameterize_forward(const real *mean, int mean_row,
                                                  const real *log_var, int log_var_row,
                                                  const real *eps, int n, int Z, real *out) {
    int i = element();
    if (i >= n) return;
    int row = i / Z, z = i % Z;
    out[i] = mean[row * mean_row + z] + exp(real(0.5) * log_var[row * log_var_row + z]) * eps[i];
}

// dmean = dz;  dlog_var = ½ dz ⊙ eps ⊙ exp(½ log_var); added to what is there if `accumulate`
extern "C" __global__ void reparameterize_backward(const real *dz, const real *log_var,
                                                   int log_var_row, const real *eps, int n, int Z,
                                                   real *dmean, int dmean_row, real *dlog_var,
                                                   int dlog_var_row, int accumulate) {
    int i = element();
    if (i >= n) return;
    int row = i / Z, z = i % Z;
    real dm = dz[i];
    real dv = real(0.5) * dz[i] * eps[i] * exp(real(0.5) * log_var[row * log_var_row + z]);
    real *to_mean = dmean + row * dmean_row + z, *to_log_var = dlog_var + row * dlog_var_row + z;
    *to_mean = accumulate ? *to_mean + dm : dm;
    *to_log_var = accumulate ? *to_log_var + dv : dv;
}
