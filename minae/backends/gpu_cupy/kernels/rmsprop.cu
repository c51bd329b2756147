// RMSProp over the flat vectors. Derivation: reference/rmsprop.py
#include "common.cuh"

extern "C" __global__ void rmsprop(real *w, const real *dw, real *v, const double *lr, double alpha,
                                   real eps, real weight_decay, int n) {
    int i = element();
    if (i >= n) return;
    real g = dw[i] + weight_decay * w[i];
    v[i] = real(alpha) * v[i] + real(1 - alpha) * g * g;
    w[i] -= real(lr[0]) * g / (sqrt(v[i]) + eps);
}
