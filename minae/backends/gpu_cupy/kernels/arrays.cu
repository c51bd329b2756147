// Copies between arrays of any strides, and sums of arrays.
#include "common.cuh"

// y = x over (n0, n1, n2, n3); strides are counted in elements and may be negative.
template <typename T>
static inline __device__ void copy_strided(const T *x, T *y, int n, int n1, int n2, int n3, long long x0,
                                    long long x1, long long x2, long long x3, long long y0,
                                    long long y1, long long y2, long long y3) {
    int i = element();
    if (i >= n) return;
    int i3 = i % n3, i2 = i / n3 % n2, i1 = i / n3 / n2 % n1, i0 = i / n3 / n2 / n1;
    y[i0 * y0 + i1 * y1 + i2 * y2 + i3 * y3] = x[i0 * x0 + i1 * x1 + i2 * x2 + i3 * x3];
}

// Bytes are moved, not numbers: one kernel for each size of an element.
#define COPY(name, T)                                                                             \
    extern "C" __global__ void name(const T *x, T *y, int n, int n1, int n2, int n3,              \
                                    long long x0, long long x1, long long x2, long long x3,       \
                                    long long y0, long long y1, long long y2, long long y3) {     \
        copy_strided(x, y, n, n1, n2, n3, x0, x1, x2, x3, y0, y1, y2, y3);                        \
    }
COPY(copy_1, unsigned char)
COPY(copy_2, unsigned short)
COPY(copy_4, unsigned int)
COPY(copy_8, unsigned long long)

// out = a + b; `real` is whatever dtype the arrays have
extern "C" __global__ void add(const real *a, const real *b, int n, real *out) {
    int i = element();
    if (i < n) out[i] = a[i] + b[i];
}
