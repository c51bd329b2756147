// Samples that are given by their nonzeros. Derivation: reference/sparse.py
#include "common.cuh"

// x[n] = scale · u[rows[n]] + shift, u[m, columns[i]] = values[i] for starts[m] <= i < starts[m + 1].
// Block n writes sample n: first the zeros of u, then what is not zero.
template <typename Value>
static inline __device__ void dense_rows(const long long *starts, const unsigned short *columns,
                                         const Value *values, const long long *rows, real scale,
                                         real shift, int D, real *x) {
    real *sample = x + (long long)blockIdx.x * D;
    for (int d = threadIdx.x; d < D; d += THREADS) sample[d] = shift;
    __syncthreads();
    long long m = rows[blockIdx.x];
    for (long long i = starts[m] + threadIdx.x; i < starts[m + 1]; i += THREADS) {
        sample[columns[i]] = scale * real(values[i]) + shift;
    }
}

#define DENSE_ROWS(name, Value)                                                                   \
    extern "C" __global__ void name(const long long *starts, const unsigned short *columns,       \
                                    const Value *values, const long long *rows, real scale,       \
                                    real shift, int D, real *x) {                                 \
        dense_rows(starts, columns, values, rows, scale, shift, D, x);                            \
    }
DENSE_ROWS(dense_rows_uint8, unsigned char)
DENSE_ROWS(dense_rows_float32, float)
DENSE_ROWS(dense_rows_float64, double)
