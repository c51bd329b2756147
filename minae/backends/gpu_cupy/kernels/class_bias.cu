// The bias that a constant label plane adds to a convolution. Derivation: reference/class_bias.py
#include "common.cuh"

// out[k, c] = Σ_taps w[k, c, tap], n = K·classes
extern "C" __global__ void class_bias_forward(const real *w, int n, int taps, real *out) {
    int i = element();
    if (i >= n) return;
    real sum = 0;
    for (int tap = 0; tap < taps; tap++) sum += w[i * taps + tap];
    out[i] = sum;
}

// out[k, c, tap] = dtable[k, c], n = K·classes·taps
extern "C" __global__ void class_bias_backward(const real *dtable, int n, int taps, real *out) {
    int i = element();
    if (i < n) out[i] = dtable[i / taps];
}
