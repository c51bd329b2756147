// Softmax and cross-entropy in one, rows shifted by their maximum. Derivation:
// reference/softmax_cross_entropy.py
#include "common.cuh"

// The largest of one value a thread over the block, the same in every thread. A NaN wins.
static inline __device__ real block_max(real value) {
    __shared__ real largest[THREADS];
    int t = threadIdx.x;
    __syncthreads();  // all have read the result of an earlier call
    largest[t] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half && !(largest[t + half] <= largest[t])) largest[t] = largest[t + half];
        __syncthreads();
    }
    return largest[0];
}

// Row n is block n: partial[n] = logsumexp(logits[n]) - logits[n, labels[n]];
// dlogits = scale (softmax - one-hot), skipped where null.
extern "C" __global__ void softmax_cross_entropy(const real *logits, const long long *labels,
                                                 real scale, int classes, real *dlogits,
                                                 double *partial) {
    const real *row = logits + (long long)blockIdx.x * classes;
    int label = labels[blockIdx.x];
    real top = row[0];
    for (int c = threadIdx.x; c < classes; c += THREADS) {
        if (!(row[c] <= top)) top = row[c];
    }
    top = block_max(top);
    real sum = 0;
    for (int c = threadIdx.x; c < classes; c += THREADS) sum += exp(row[c] - top);
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = log(sum) - (row[label] - top);
    if (dlogits == nullptr) return;
    for (int c = threadIdx.x; c < classes; c += THREADS) {
        real p = exp(row[c] - top) / sum;
        dlogits[(long long)blockIdx.x * classes + c] = scale * (c == label ? p - 1 : p);
    }
}
