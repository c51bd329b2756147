// A batch of which strips of 8 columns are known to be zero. Derivation: reference/sparse.py
#include "common.cuh"

// masked[i, d] = x[i, d] where sample rows[i] has strip d / 8, else 0; n·D elements of x
extern "C" __global__ void masked_rows(const unsigned long long *strips, const long long *rows,
                                       const real *x, int n, int D, int words, real *masked) {
    int i = element();
    if (i >= n) return;
    int s = i % D / 8;
    unsigned long long word = strips[rows[i / D] * words + s / 64];
    masked[i] = word >> s % 64 & 1 ? x[i] : real(0);
}
