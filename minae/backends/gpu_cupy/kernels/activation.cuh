// f, f' and the derivative of f' by y, for every activation. Derivation: reference/activations.py

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

// f'_y, the derivative of f' by y
static inline __device__ real second(real y, int activation) {
    switch (activation) {
        case ELU: return y > 0 ? 0 : 1;
        case SIGMOID: return 1 - 2 * y;
        case TANH: return -2 * y;
        case SOFTPLUS: return exp(-y);
        default: return 0;
    }
}
