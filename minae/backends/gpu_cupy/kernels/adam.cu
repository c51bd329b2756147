// Adam and AdamW over the flat vectors, in one pass. Derivation: reference/adam.py
//
// With r = √(1 - beta2^t) the step is (lr r / (1 - beta1^t)) m / (√v + eps r). The two factors are
// made once a block, in double precision, from the step count and learning rate on the device.
#include "common.cuh"

struct Factors {
    real rate, eps;  // lr r / (1 - beta1^t), eps r
};
static inline __device__ Factors factors(const long long *step, const double *lr, double beta1,
                                  double beta2, double eps) {
    __shared__ double rate, scaled_eps;
    if (threadIdx.x == 0) {
        double t = step[0] + 1, r = sqrt(1 - pow(beta2, t));
        rate = lr[0] * r / (1 - pow(beta1, t));
        scaled_eps = eps * r;
    }
    __syncthreads();
    Factors both = {real(rate), real(scaled_eps)};
    return both;
}

// m, v and w of element i
static inline __device__ void update(real *w, real g, real *m, real *v, int i, Factors f, double beta1,
                              double beta2) {
    m[i] = real(beta1) * m[i] + real(1 - beta1) * g;
    v[i] = real(beta2) * v[i] + real(1 - beta2) * g * g;
    w[i] -= f.rate * m[i] / (sqrt(v[i]) + f.eps);
}

// g = dw + weight_decay w
extern "C" __global__ void adam(real *w, const real *dw, real *m, real *v, const long long *step,
                                const double *lr, double beta1, double beta2, double eps,
                                double weight_decay, int n) {
    Factors f = factors(step, lr, beta1, beta2, eps);
    int i = element();
    if (i < n) update(w, dw[i] + real(weight_decay) * w[i], m, v, i, f, beta1, beta2);
}

// first w -= lr weight_decay w, then adam with g = dw
extern "C" __global__ void adamw(real *w, const real *dw, real *m, real *v, const long long *step,
                                 const double *lr, double beta1, double beta2, double eps,
                                 double weight_decay, int n) {
    Factors f = factors(step, lr, beta1, beta2, eps);
    int i = element();
    if (i >= n) return;
    w[i] *= real(1 - lr[0] * weight_decay);
    update(w, dw[i], m, v, i, f, beta1, beta2);
}
