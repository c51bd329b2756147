// The second stage of every sum: what the blocks of the first left, added in order.
#include "common.cuh"

// value = scale · Σ partial. One block.
extern "C" __global__ void sum_partials(const double *partial, int count, double scale,
                                        double *value) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
    double total = block_sum(sum);
    if (threadIdx.x == 0) value[0] = scale * total;
}

// out[k] = Σ_c partial[c, k]
extern "C" __global__ void sum_chunks(const double *partial, int chunks, int K, real *out) {
    int k = element();
    if (k >= K) return;
    double sum = 0;
    for (int c = 0; c < chunks; c++) sum += partial[(long long)c * K + k];
    out[k] = sum;
}

// out[i] = Σ_s partial[s, i], n numbers a part: the parts of a product whose terms were split
extern "C" __global__ void sum_splits(const real *partial, int splits, int n, real *out) {
    int i = element();
    if (i >= n) return;
    real sum = partial[i];
    for (int s = 1; s < splits; s++) sum += partial[(long long)s * n + i];
    out[i] = sum;
}
