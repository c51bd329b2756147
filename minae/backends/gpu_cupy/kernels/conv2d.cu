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

// Where a pixel or tap stands: the offset of its image or channel, and its part of h and w.
struct Place {
    int offset, h, w;
};

// y[n, k, i, j] = Σ w[k, c, a, b] x[n, c, h, w]:  M = k, Q = (c, a, b), R = (n, i, j).
template <int ROWS, int COLUMNS>
static inline __device__ void forward(const real *x, const real *w, GEOMETRY, real *y) {
    const int g = blockIdx.z, c = C / G, k = K / G, taps = KH * KW, L = OH * OW;
    const Divisor by_taps = divisor(taps), by_KW = divisor(KW);
    tiled_product<ROWS, COLUMNS, true, false>(
        k, N * L, 0, c * taps, matrix(w + g * k * c * taps, c * taps, 1),
        operand(
            [=](int r) {
                return Place{(r / L * C + g * c) * H * W, r % L / OW * SH - PH, r % OW * SW - PW};
            },
            [=](int q) {
                int tap = q % by_taps;
                return Place{q / by_taps * H * W, tap / by_KW * DH, tap % by_KW * DW};
            },
            [=](Place r, Place q) {
                int h = r.h + q.h, v = r.w + q.w;
                bool inside = 0 <= h && h < H && 0 <= v && v < W;
                return inside ? x[r.offset + q.offset + h * W + v] : real(0);
            }),
        [=](int r) { return (r / L * K + g * k) * L + r % L; },
        [=](int m, int r, real sum) { y[r + m * L] = sum; });
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
    const Divisor by_taps = divisor(max(1, taps)), by_count = divisor(max(1, tb.count));
    // tap number n reads output (h + P) / S - (first·D) / S - n (step·D) / S
    const int a0 = ta.first * DH / SH, b0 = tb.first * DW / SW;
    const int a_step = ta.step * DH / SH, b_step = tb.step * DW / SW;
    tiled_product<ROWS, COLUMNS, false, false>(
        c, N * pixels, 0, k * taps,
        operand([=](int m) { return m * KH * KW; },
                [=](int q) {
                    int tap = q % by_taps;
                    int a = ta.first + tap / by_count * ta.step;
                    int b = tb.first + tap % by_count * tb.step;
                    return ((g * k + q / by_taps) * c * KH + a) * KW + b;
                },
                [=](int m, int q) { return w[m + q]; }),
        operand(
            [=](int r) {
                int h = ta.pixel + r % pixels / columns * SH, v = tb.pixel + r % columns * SW;
                return Place{(r / pixels * K + g * k) * OH * OW, (h + PH) / SH, (v + PW) / SW};
            },
            [=](int q) {
                int tap = q % by_taps;
                return Place{q / by_taps * OH * OW, a0 + tap / by_count * a_step,
                             b0 + tap % by_count * b_step};
            },
            [=](Place r, Place q) {
                int i = r.h - q.h, j = r.w - q.w;
                bool inside = 0 <= i && i < OH && 0 <= j && j < OW;
                return inside ? dy[r.offset + q.offset + i * OW + j] : real(0);
            }),
        [=](int r) {
            int h = ta.pixel + r % pixels / columns * SH, v = tb.pixel + r % columns * SW;
            return ((r / pixels * C + g * c) * H + h) * W + v;
        },
        [=](int m, int r, real sum) { dx[r + m * H * W] = sum; });
}

// dw[k, c, a, b] = Σ dy[n, k, i, j] x[n, c, h, w]:  M = k, Q = (n, i, j), R = (c, a, b).
// The many terms are split, `terms` to a block: blockIdx.z = (split, group), split s to dw[s].
template <int ROWS, int COLUMNS>
static inline __device__ void weight_gradient(const real *x, const real *dy, GEOMETRY, int terms,
                                       real *dw) {
    const int g = blockIdx.z % G, split = blockIdx.z / G, c = C / G, k = K / G;
    const int taps = KH * KW, L = OH * OW, first = split * terms;
    const Divisor by_L = divisor(L), by_OW = divisor(OW);
    real *part = dw + (long long)split * K * c * taps;
    tiled_product<ROWS, COLUMNS, true, true>(
        k, c * taps, first, min(N * L, first + terms),
        operand([=](int m) { return (g * k + m) * L; },
                [=](int q) { return q / by_L * K * L + q % by_L; },
                [=](int m, int q) { return dy[m + q]; }),
        operand(
            [=](int r) {
                return Place{(g * c + r / taps) * H * W, r % taps / KW * DH - PH, r % KW * DW - PW};
            },
            [=](int q) {
                int pixel = q % by_L;
                return Place{q / by_L * C * H * W, pixel / by_OW * SH, pixel % by_OW * SW};
            },
            [=](Place r, Place q) {
                int h = r.h + q.h, v = r.w + q.w;
                bool inside = 0 <= h && h < H && 0 <= v && v < W;
                return inside ? x[r.offset + q.offset + h * W + v] : real(0);
            }),
        [=](int r) { return g * k * c * taps + r; },
        [=](int m, int r, real sum) { part[m * c * taps + r] = sum; });
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
