// Softmax and cross-entropy in one, rows shifted by their maximum. Derivation:
// reference/softmax_cross_entropy.py
#include "common.cuh"

// Row n is block n. value = factor · Σ_n logsumexp(logits[n]) - logits[n, labels[n]];
// dlogits = scale (softmax - one-hot), skipped where null.
extern "C" __global__ void softmax_cross_entropy(const real *logits, const long long *labels,
                                                 real scale, int classes, real *dlogits,
                                                 TOTAL) {
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
    double loss = threadIdx.x == 0 ? log(sum) - (row[label] - top) : real(0);
    for (int c = threadIdx.x; dlogits != nullptr && c < classes; c += THREADS) {
        real p = exp(row[c] - top) / sum;
        dlogits[(long long)blockIdx.x * classes + c] = scale * (c == label ? p - 1 : p);
    }
    if (grid_sum(loss, partial, ticket)) value[0] = factor * loss;
}
