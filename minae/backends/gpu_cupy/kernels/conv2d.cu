// Convolution and its two gradients as implicit GEMM: the tiled product of product.cuh, with the
// columns of im2col read straight from the image. Derivation: reference/conv2d.py
//
// x: (N, C, H, W);  w: (K, C/G, KH, KW);  y: (N, K, OH, OW). Group g has c = C/G input and k = K/G
// output channels. Tap (a, b) of output (i, j) reads h = i·SH + a·DH - PH, w = j·SW + b·DW - PW.
#include "common.cuh"
#include "product.cuh"

#define GEOMETRY                                                                                  \
    int N, int C, int H, int W, int K, int OH, int OW, int KH, int KW, int SH, int SW, int PH,    \
        int PW, int DH, int DW, int G

// y[n, k, i, j] = Σ w[k, c, a, b] x[n, c, h, w]:  M = k, Q = (c, a, b), R = (n, i, j).
template <int ROWS, int COLUMNS>
static inline __device__ void forward(const real *x, const real *w, GEOMETRY, real *y) {
    const int g = blockIdx.z, c = C / G, k = K / G, taps = KH * KW, L = OH * OW;
    tiled_product<ROWS, COLUMNS, true, false>(
        k, N * L, 0, c * taps,
        [=](int m, int q) { return w[(g * k + m) * c * taps + q]; },
        [=](int q, int r) {
            int h = r % L / OW * SH + q % taps / KW * DH - PH;
            int v = r % OW * SW + q % KW * DW - PW;
            bool inside = 0 <= h && h < H && 0 <= v && v < W;
            return inside ? x[((r / L * C + g * c + q / taps) * H + h) * W + v] : real(0);
        },
        [=](int m, int r, real sum) { y[(r / L * K + g * k + m) * L + r % L] = sum; });
}

// The taps of one axis that reach the pixels of one phase. A pixel at h = phase - P (mod S) is read
// by tap a of output i = (h + P - a·D) / S if that is whole: for a = first, first + step, ...
struct Taps {
    int first, step, count, pixel;  // pixel: the first of the phase; the next is S further
};
static inline __device__ Taps taps_of_phase(int phase, int kernel, int S, int P, int D) {
    Taps t = {0, 1, 0, ((phase - P) % S + S) % S};
    while (t.first < S && t.first * D % S != phase) t.first++;
    while (t.step * D % S != 0) t.step++;
    if (t.first < S && t.first < kernel) t.count = (kernel - 1 - t.first) / t.step + 1;
    return t;
}

// dx[n, c, h, w] = Σ w[k, c, a, b] dy[n, k, i, j] over those a, b that have whole i, j.
// Pixels of one phase (h + PH mod SH, w + PW mod SW) are reached by the same taps; a block takes
// pixels of one phase, so no product with a tap that does not reach them is made.
// M = c, Q = (k, a, b), R = (n, h, w), the last two of one phase; blockIdx.z = (group, phase).
template <int ROWS, int COLUMNS>
static inline __device__ void input_gradient(const real *dy, const real *w, GEOMETRY, real *dx) {
    const int g = blockIdx.z / (SH * SW), c = C / G, k = K / G;
    const Taps ta = taps_of_phase(blockIdx.z / SW % SH, KH, SH, PH, DH);
    const Taps tb = taps_of_phase(blockIdx.z % SW, KW, SW, PW, DW);
    const int rows = (H - ta.pixel + SH - 1) / SH, columns = (W - tb.pixel + SW - 1) / SW;
    const int pixels = rows * columns, taps = ta.count * tb.count;
    if (blockIdx.x * 16 * COLUMNS >= N * pixels) return;  // this phase has fewer pixels than others
    auto tap_a = [=](int q) { return ta.first + q % taps / tb.count * ta.step; };
    auto tap_b = [=](int q) { return tb.first + q % tb.count * tb.step; };
    tiled_product<ROWS, COLUMNS, false, false>(
        c, N * pixels, 0, k * taps,
        [=](int m, int q) {
            return w[(((g * k + q / taps) * c + m) * KH + tap_a(q)) * KW + tap_b(q)];
        },
        [=](int q, int r) {
            int i = ta.pixel + r % pixels / columns * SH + PH - tap_a(q) * DH;  // a multiple of SH
            int j = tb.pixel + r % columns * SW + PW - tap_b(q) * DW;           // and of SW
            bool inside = 0 <= i && i < OH * SH && 0 <= j && j < OW * SW;
            int image = r / pixels * K + g * k + q / taps;
            return inside ? dy[(image * OH + i / SH) * OW + j / SW] : real(0);
        },
        [=](int m, int r, real sum) {
            int h = ta.pixel + r % pixels / columns * SH, v = tb.pixel + r % columns * SW;
            dx[((r / pixels * C + g * c + m) * H + h) * W + v] = sum;
        });
}

// dw[k, c, a, b] = Σ dy[n, k, i, j] x[n, c, h, w]:  M = k, Q = (n, i, j), R = (c, a, b).
// The many terms are split, `terms` to a block: blockIdx.z = (split, group), split s to dw[s].
template <int ROWS, int COLUMNS>
static inline __device__ void weight_gradient(const real *x, const real *dy, GEOMETRY, int terms,
                                       real *dw) {
    const int g = blockIdx.z % G, split = blockIdx.z / G, c = C / G, k = K / G;
    const int taps = KH * KW, L = OH * OW, first = split * terms;
    real *part = dw + (long long)split * K * c * taps;
    tiled_product<ROWS, COLUMNS, true, true>(
        k, c * taps, first, min(N * L, first + terms),
        [=](int m, int q) { return dy[(q / L * K + g * k + m) * L + q % L]; },
        [=](int q, int r) {
            int h = q % L / OW * SH + r % taps / KW * DH - PH;
            int v = q % OW * SW + r % KW * DW - PW;
            bool inside = 0 <= h && h < H && 0 <= v && v < W;
            return inside ? x[((q / L * C + g * c + r / taps) * H + h) * W + v] : real(0);
        },
        [=](int m, int r, real sum) { part[(g * k + m) * c * taps + r] = sum; });
}

#define CONV2D(tile, ROWS, COLUMNS)                                                               \
    extern "C" __global__ void __launch_bounds__(THREADS)                                         \
        conv2d_forward_##tile(const real *x, const real *w, GEOMETRY, real *y) {                  \
        forward<ROWS, COLUMNS>(x, w, N, C, H, W, K, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, G,    \
                               y);                                                                \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS)                                         \
        conv2d_input_gradient_##tile(const real *dy, const real *w, GEOMETRY, real *dx) {         \
        input_gradient<ROWS, COLUMNS>(dy, w, N, C, H, W, K, OH, OW, KH, KW, SH, SW, PH, PW, DH,   \
                                      DW, G, dx);                                                 \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS) conv2d_weight_gradient_##tile(          \
        const real *x, const real *dy, GEOMETRY, int terms, real *dw) {                           \
        weight_gradient<ROWS, COLUMNS>(x, dy, N, C, H, W, K, OH, OW, KH, KW, SH, SW, PH, PW, DH,  \
                                       DW, G, terms, dw);                                         \
    }
CONV2D(16x64, 1, 4)
CONV2D(64x64, 4, 4)
