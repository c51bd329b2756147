// Clipping by norm. Derivation: reference/clip.py
#include "common.cuh"

// norm = √(Σ dw²), in double precision: squares of large float32 have room in it
extern "C" __global__ void norm_of(const real *dw, int n, double *partial, unsigned int *ticket,
                                   double *norm) {
    double sum = 0;
    for (int i = element(); i < n; i += gridDim.x * blockDim.x) sum += (double)dw[i] * dw[i];
    if (grid_sum(sum, partial, ticket)) norm[0] = sqrt(sum);
}

// dw *= min(1, max_norm / (norm + 1e-6))
extern "C" __global__ void clip(const double *norm, double max_norm, int n, real *dw) {
    int i = element();
    if (i >= n) return;
    double factor = max_norm / (norm[0] + 1e-6);
    if (!(factor >= 1)) dw[i] *= real(factor);  // a NaN is passed on
}
