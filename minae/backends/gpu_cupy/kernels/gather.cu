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

// out = 1 where u < x, else 0. u may be out.
extern "C" __global__ void binarize(const real *x, const real *u, int n, real *out) {
    int i = element();
    if (i < n) out[i] = u[i] < x[i] ? 1 : 0;
}

// How many of n keys (n, 2) begin with each combination of bits; the bucket of a key is its first
// word shifted. counts: 0 before.
extern "C" __global__ void count_buckets(const unsigned int *keys, int n, int shift,
                                         unsigned int *counts) {
    int i = element();
    if (i < n) atomicAdd(counts + (keys[2ll * i] >> shift), 1u);
}

// Where each bucket begins, in begins (buckets + 1) and in places; counts are 0 again. One block.
extern "C" __global__ void begin_buckets(unsigned int *counts, int buckets, unsigned int *begins,
                                         unsigned int *places) {
    __shared__ unsigned int sums[THREADS];
    const int t = threadIdx.x, each = (buckets + THREADS - 1) / THREADS;
    const int first = min(buckets, t * each), end = min(buckets, first + each);
    unsigned int sum = 0;
    for (int b = first; b < end; b++) sum += counts[b];
    sums[t] = sum;
    __syncthreads();
    unsigned int place = 0;
    for (int before = 0; before < t; before++) place += sums[before];
    for (int b = first; b < end; b++) {
        begins[b] = places[b] = place;
        place += counts[b];
        counts[b] = 0;
    }
    if (t == THREADS - 1) begins[buckets] = place;
}

// Each row to its bucket, in whatever order the threads come.
extern "C" __global__ void fill_buckets(const unsigned int *keys, int n, int shift,
                                        unsigned int *places, int *rows) {
    int i = element();
    if (i < n) rows[atomicAdd(places + (keys[2ll * i] >> shift), 1u)] = i;
}

// Each row to its place in the order: as many stand before it in its bucket as have a smaller key,
// or the same and a smaller number.
extern "C" __global__ void sort_buckets(const unsigned int *keys, int n, int shift,
                                        const unsigned int *begins, const int *rows,
                                        long long *out) {
    int i = element();
    if (i >= n) return;
    const int row = rows[i];
    const unsigned int key = keys[2ll * row], rest = keys[2ll * row + 1];
    const unsigned int begin = begins[key >> shift], end = begins[(key >> shift) + 1];
    unsigned int place = begin;
    for (unsigned int j = begin; j < end; j++) {
        const int other = rows[j];
        const unsigned int a = keys[2ll * other], b = keys[2ll * other + 1];
        if (a < key || (a == key && (b < rest || (b == rest && other < row)))) place++;
    }
    out[place] = row;
}
