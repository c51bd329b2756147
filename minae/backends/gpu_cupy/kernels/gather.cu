// Batches from a data set that lies on the device. Derivation: reference/gather.py
#include "common.cuh"

// out[n, d] = scale · source[indices[n], d] + shift, n·d elements of out, converted first
template <typename Source>
static inline __device__ void gather(const Source *source, const long long *indices, real scale,
                              real shift, int n, int D, real *out) {
    int i = element();
    if (i < n) out[i] = scale * real(source[indices[i / D] * D + i % D]) + shift;
}

#define GATHER(name, Source)                                                                      \
    extern "C" __global__ void name(const Source *source, const long long *indices, real scale,   \
                                    real shift, int n, int D, real *out) {                        \
        gather(source, indices, scale, shift, n, D, out);                                         \
    }
GATHER(gather_uint8, unsigned char)
GATHER(gather_float32, float)
GATHER(gather_float64, double)

// out[n] = source[indices[n]]
extern "C" __global__ void take(const long long *source, const long long *indices, int n,
                                long long *out) {
    int i = element();
    if (i < n) out[i] = source[indices[i]];
}

// out[n, c] = 1 if c == labels[n] else 0, n·c elements of out
extern "C" __global__ void one_hot(const long long *labels, int n, int classes, real *out) {
    int i = element();
    if (i < n) out[i] = labels[i / classes] == i % classes ? 1 : 0;
}
