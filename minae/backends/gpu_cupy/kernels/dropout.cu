// Dropout with a given mask, forward and backward alike. Derivation: reference/dropout.py
#include "common.cuh"

// out = x ⊙ mask / keep. x may be out.
extern "C" __global__ void dropout(const real *x, const real *mask, real keep, int n, real *out) {
    int i = element();
    if (i < n) out[i] = x[i] * mask[i] / keep;
}
