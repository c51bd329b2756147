// The parts of a product whose terms were split, added in a fixed order.
#include "common.cuh"

// out[i] = Σ_s parts[s, i], n numbers a part. For few parts: one thread adds them.
extern "C" __global__ void sum_splits(const real *parts, int splits, int n, real *out) {
    int i = element();
    if (i >= n) return;
    real sum = parts[i];
    for (int s = 1; s < splits; s++) sum += parts[(long long)s * n + i];
    out[i] = sum;
}

// The same for many: a block of 32×8 threads takes 32 numbers, each thread every eighth part.
extern "C" __global__ void sum_many_splits(const real *parts, int splits, int n, real *out) {
    __shared__ real sums[8][32];
    const int x = threadIdx.x, y = threadIdx.y, i = blockIdx.x * 32 + x;
    real sum = 0;
    if (i < n) {
        for (int s = y; s < splits; s += 8) sum += parts[(long long)s * n + i];
    }
    sums[y][x] = sum;
    __syncthreads();
    if (y > 0 || i >= n) return;
    for (int row = 1; row < 8; row++) sum += sums[row][x];
    out[i] = sum;
}
