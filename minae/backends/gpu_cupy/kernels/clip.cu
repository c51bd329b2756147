// Clipping by norm. Derivation: reference/clip.py
#include "common.cuh"

// partial[block] = Σ dw², in double precision: squares of large float32 have room in it
extern "C" __global__ void sum_of_squares(const real *dw, int n, double *partial) {
    double sum = 0;
    for (int i = element(); i < n; i += gridDim.x * blockDim.x) sum += (double)dw[i] * dw[i];
    double total = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// norm = √(Σ partial). One block.
extern "C" __global__ void norm_of_partials(const double *partial, int count, double *norm) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
    double total = block_sum(sum);
    if (threadIdx.x == 0) norm[0] = sqrt(total);
}

// dw *= min(1, max_norm / (norm + 1e-6))
extern "C" __global__ void clip(const double *norm, double max_norm, int n, real *dw) {
    int i = element();
    if (i >= n) return;
    double factor = max_norm / (norm[0] + 1e-6);
    if (!(factor >= 1)) dw[i] *= real(factor);  // a NaN is passed on
}
