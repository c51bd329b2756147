// out = op(a) op(b), op(x) = xᵀ where asked. Derivation: reference/dense.py
#include "common.cuh"
#include "product.cuh"

// The terms q are split among blockIdx.z, `terms` to each; part z of the result goes to out[z].
template <int ROWS, int COLUMNS, bool TRANSPOSE_A, bool TRANSPOSE_B>
static inline __device__ void matmul(const real *a, const real *b, int M, int Q, int R, int terms,
                              real *out) {
    int first = blockIdx.z * terms;
    real *part = out + (long long)blockIdx.z * M * R;
    tiled_product<ROWS, COLUMNS, !TRANSPOSE_A, TRANSPOSE_B>(
        M, R, first, min(Q, first + terms),
        TRANSPOSE_A ? matrix(a, 1, M) : matrix(a, Q, 1),
        TRANSPOSE_B ? matrix(b, Q, 1) : matrix(b, 1, R), [=](int r) { return r; },
        [=](int m, int r, real sum) { part[m * R + r] = sum; });
}

// matmul_<op(a)><op(b)>_<rows of the tile>x<columns of the tile>; n as it is, t transposed
#define MATMUL(name, ROWS, COLUMNS, TRANSPOSE_A, TRANSPOSE_B)                                     \
    extern "C" __global__ void __launch_bounds__(THREADS)                                         \
        name(const real *a, const real *b, int M, int Q, int R, int terms, real *out) {           \
        matmul<ROWS, COLUMNS, TRANSPOSE_A, TRANSPOSE_B>(a, b, M, Q, R, terms, out);               \
    }
#define MATMULS(tile, ROWS, COLUMNS)                                                              \
    MATMUL(matmul_nn_##tile, ROWS, COLUMNS, false, false)                                         \
    MATMUL(matmul_nt_##tile, ROWS, COLUMNS, false, true)                                          \
    MATMUL(matmul_tn_##tile, ROWS, COLUMNS, true, false)                                          \
    MATMUL(matmul_tt_##tile, ROWS, COLUMNS, true, true)
MATMULS(32x64, 2, 4)
MATMULS(64x32, 4, 2)
MATMULS(64x64, 4, 4)
MATMULS(128x128, 8, 8)
