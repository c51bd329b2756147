// Activations, fused with the bias before them (forward) and the bias gradient (backward).
// Derivation: reference/activations.py
//
// x, y: (N, K, L), L = H·W, or 1 for a matrix.
#include "common.cuh"

// in the order of minae.backends.spec.ACTIVATIONS
enum Activation { IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS };

static inline __device__ real f(real a, int activation, real slope) {
    switch (activation) {
        case RELU: return a <= 0 ? real(0) : a;  // NaN stays NaN
        case LEAKY_RELU: return a > 0 ? a : slope * a;
        case ELU: return a > 0 ? a : slope * expm1(a);
        case SIGMOID: return 1 / (1 + exp(-a));  // exp may overflow to infinity, which is 0
        case TANH: return tanh(a);
        case SOFTPLUS: return (a > 0 ? a : real(0)) + log1p(exp(-fabs(a)));
        default: return a;
    }
}

// f' at the point where f is y
static inline __device__ real derivative(real y, int activation, real slope) {
    switch (activation) {
        case RELU: return y > 0 ? 1 : 0;
        case LEAKY_RELU: return y > 0 ? real(1) : slope;
        case ELU: return y > 0 ? real(1) : y + slope;
        case SIGMOID: return y * (1 - y);
        case TANH: return 1 - y * y;
        case SOFTPLUS: return -expm1(-y);
        default: return 1;
    }
}

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

// The same, and partial[chunk, k] = Σ dx over the samples of a chunk and L, in one pass.
extern "C" __global__ void bias_activation_backward_sums(const real *dy, const real *y,
                                                         int activation, real slope, int N, int K,
                                                         int L, int samples, real *dx,
                                                         double *partial) {
    auto term = [=](int i) {
        real da = dy[i] * derivative(y[i], activation, slope);
        dx[i] = da;
        return da;
    };
    channel_sums(term, N, K, L, samples, partial);
}
