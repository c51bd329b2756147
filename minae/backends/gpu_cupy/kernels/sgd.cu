// Stochastic gradient descent with momentum, over the flat vectors. Derivation: reference/sgd.py
#include "common.cuh"

extern "C" __global__ void sgd(real *w, const real *dw, real *velocity, const double *lr,
                               real momentum, real weight_decay, int nesterov, int n) {
    int i = element();
    if (i >= n) return;
    real g = dw[i] + weight_decay * w[i];
    real v = momentum * velocity[i] + g;
    velocity[i] = v;
    w[i] -= real(lr[0]) * (nesterov ? g + momentum * v : v);
}
