// Activations, fused with the bias before them (forward) and the bias gradient (backward).
// Derivation: reference/activations.py
//
// x, y: (N, K, L), L = H·W, or 1 for a matrix.
#include "common.cuh"
#include "activation.cuh"

// y = f(x + b);  b: (K,), or (N, K) if per_sample, or null. x may be y.
extern "C" __global__ void bias_activation_forward(const real *x, const real *b, int per_sample,
                                                   int activation, real slope, int n, int K, int L,
                                                   real *y) {
    int i = element();
    if (i >= n) return;
    int channel = i / L;  // n·K + k
    real bias = b == nullptr ? real(0) : per_sample ? b[channel] : b[channel % K];
    y[i] = f(x[i] + bias, activation, slope);
}

// dx = dy ⊙ f'(x). dy may be dx.
extern "C" __global__ void bias_activation_backward(const real *dy, const real *y, int activation,
                                                    real slope, int n, real *dx) {
    int i = element();
    if (i < n) dx[i] = dy[i] * derivative(y[i], activation, slope);
}

// The same, and db[k] = Σ dx over n and l, in one pass.
extern "C" __global__ void bias_activation_backward_sums(const real *dy, const real *y,
                                                         int activation, real slope, real *dx,
                                                         real *db, CHANNELS) {
    auto term = [=](int i) {
        real da = dy[i] * derivative(y[i], activation, slope);
        dx[i] = da;
        return da;
    };
    auto done = [=](int k, double sum) { db[k] = sum; };
    channel_sums(term, done, N, K, L, samples, partial, tickets);
}

// The same, and db[row] = Σ dx over l, for each of the N·K rows. A block is 32×8 threads, for 8 rows.
extern "C" __global__ void bias_activation_backward_rows(const real *dy, const real *y,
                                                         int activation, real slope, int rows,
                                                         int L, real *dx, real *db) {
    __shared__ double sums[8][32];
    const int x = threadIdx.x, row = blockIdx.x * 8 + threadIdx.y;
    double *sum = sums[threadIdx.y];
    real some = 0;
    if (row < rows) {
        for (int i = row * L + x; i < (row + 1) * L; i += 32) {
            real da = dy[i] * derivative(y[i], activation, slope);
            dx[i] = da;
            some += da;
        }
    }
    sum[x] = some;
    for (int half = 16; half > 0; half /= 2) {
        __syncthreads();
        if (x < half) sum[x] += sum[x + half];
    }
    if (x == 0 && row < rows) db[row] = sum[0];
}

// dy = dv ⊙ u ⊙ f'_y, added to what is there if `accumulate`
extern "C" __global__ void bias_activation_double_backward(const real *dv, const real *u,
                                                           const real *y, int activation, int n,
                                                           int accumulate, real *dy) {
    int i = element();
    if (i >= n) return;
    real gradient = dv[i] * u[i] * second(y[i], activation);
    dy[i] = accumulate ? dy[i] + gradient : gradient;
}
