// Numbers and groups of one-hot words in one loss. Derivation: reference/mixed_loss.py
//
// A thread takes one place l of one sample n, n·L + l < places, and goes through its C channels,
// which lie L apart. ends[0] numbers come first; group g ends before channel ends[g].
#include "common.cuh"

// The largest of the channels of a group. A NaN wins.
static inline __device__ real largest(const real *y, int first, int end, int L) {
    real top = y[(long long)first * L];
    for (int d = first + 1; d < end; d++) {
        if (!(y[(long long)d * L] <= top)) top = y[(long long)d * L];
    }
    return top;
}

// value: Σ ½ (y - t)² over numbers, T logsumexp(y) - Σ t y over groups, T = Σ t;
// dy = scale (y - t), scale (T softmax(y) - t), skipped where null.
extern "C" __global__ void mixed_loss(const real *y, const real *t, const long long *ends,
                                      int count, real scale, int places, int C, int L, real *dy,
                                      TOTAL) {
    auto term = [=](int i) {
        long long at = (long long)(i / L) * C * L + i % L;
        real loss = 0;
        for (int d = 0; d < ends[0]; d++) {
            long long j = at + (long long)d * L;
            real e = y[j] - t[j];
            loss += real(0.5) * e * e;
            if (dy != nullptr) dy[j] = scale * e;
        }
        for (int g = 1; g < count; g++) {
            int first = ends[g - 1], end = ends[g];
            real top = largest(y + at, first, end, L);
            real sum = 0, weight = 0, below = 0;
            for (int d = first; d < end; d++) {
                long long j = at + (long long)d * L;
                sum += exp(y[j] - top);
                weight += t[j];
                below += t[j] * (top - y[j]);
            }
            loss += weight * log(sum) + below;
            if (dy == nullptr) continue;
            for (int d = first; d < end; d++) {
                long long j = at + (long long)d * L;
                dy[j] = scale * (weight * exp(y[j] - top) / sum - t[j]);
            }
        }
        return loss;
    };
    total_sum(term, places, partial, ticket, factor, value);
}

// out = y of a number, softmax(y) in a group.
extern "C" __global__ void mixed_output(const real *y, const long long *ends, int count,
                                        int places, int C, int L, real *out) {
    int i = element();
    if (i >= places) return;
    long long at = (long long)(i / L) * C * L + i % L;
    for (int d = 0; d < ends[0]; d++) out[at + (long long)d * L] = y[at + (long long)d * L];
    for (int g = 1; g < count; g++) {
        int first = ends[g - 1], end = ends[g];
        real top = largest(y + at, first, end, L);
        real sum = 0;
        for (int d = first; d < end; d++) sum += exp(y[at + (long long)d * L] - top);
        for (int d = first; d < end; d++) {
            long long j = at + (long long)d * L;
            out[j] = exp(y[j] - top) / sum;
        }
    }
}
