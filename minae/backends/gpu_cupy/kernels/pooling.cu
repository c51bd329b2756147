// Pooling and upsampling: one thread for each element that is written, so a backward pass gathers
// and no two threads add to one number. Derivation: reference/pooling.py
//
// x: (N·C, H, W);  y: (N·C, OH, OW);  window KH×KW, stride S, padding P;  n elements are written.
#include "common.cuh"

// y = max over the window, argmax = its place a·KW + b, the first on ties. A NaN wins.
extern "C" __global__ void max_pool2d_forward(const real *x, int n, int H, int W, int OH, int OW,
                                              int KH, int KW, int SH, int SW, int PH, int PW,
                                              real *y, int *argmax) {
    int i = element();
    if (i >= n) return;
    const real *image = x + i / OW / OH * H * W;
    int h0 = i / OW % OH * SH - PH, w0 = i % OW * SW - PW;
    real best = 0;
    int winner = -1;
    for (int a = 0; a < KH; a++) {
        for (int b = 0; b < KW; b++) {
            int h = h0 + a, w = w0 + b;
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            real value = image[h * W + w];
            if (winner < 0 || value > best || (value != value && best == best)) {
                best = value;
                winner = a * KW + b;
            }
        }
    }
    y[i] = best;
    argmax[i] = winner;
}

// Σ over the windows that cover (h, w) of term(window, place of (h, w) in it), in a fixed order
template <typename Term>
static inline __device__ real over_windows(Term term, int h, int w, int OH, int OW, int KH, int KW,
                                    int SH, int SW, int PH, int PW) {
    real sum = 0;
    for (int a = (h + PH) % SH; a < KH; a += SH) {
        int i = (h + PH - a) / SH;
        if (h + PH < a || i >= OH) continue;
        for (int b = (w + PW) % SW; b < KW; b += SW) {
            int j = (w + PW - b) / SW;
            if (w + PW < b || j >= OW) continue;
            sum += term(i * OW + j, a * KW + b);
        }
    }
    return sum;
}

// dx = Σ of the dy that (h, w) won
extern "C" __global__ void max_pool2d_backward(const real *dy, const int *argmax, int n, int H,
                                               int W, int OH, int OW, int KH, int KW, int SH,
                                               int SW, int PH, int PW, real *dx) {
    int i = element();
    if (i >= n) return;
    int image = i / W / H * OH * OW;
    auto term = [=](int window, int place) {
        return argmax[image + window] == place ? dy[image + window] : real(0);
    };
    dx[i] = over_windows(term, i / W % H, i % W, OH, OW, KH, KW, SH, SW, PH, PW);
}

// y = (sum over the window, padding as 0) / (KH·KW)
extern "C" __global__ void avg_pool2d_forward(const real *x, int n, int H, int W, int OH, int OW,
                                              int KH, int KW, int SH, int SW, int PH, int PW,
                                              real *y) {
    int i = element();
    if (i >= n) return;
    const real *image = x + i / OW / OH * H * W;
    int h0 = i / OW % OH * SH - PH, w0 = i % OW * SW - PW;
    real sum = 0;
    for (int h = max(h0, 0); h < min(h0 + KH, H); h++) {
        for (int w = max(w0, 0); w < min(w0 + KW, W); w++) sum += image[h * W + w];
    }
    y[i] = sum / (KH * KW);
}

// dx = Σ of dy over the windows, / (KH·KW)
extern "C" __global__ void avg_pool2d_backward(const real *dy, int n, int H, int W, int OH, int OW,
                                               int KH, int KW, int SH, int SW, int PH, int PW,
                                               real *dx) {
    int i = element();
    if (i >= n) return;
    const real *image = dy + i / W / H * OH * OW;
    auto term = [=](int window, int) { return image[window]; };
    real sum = over_windows(term, i / W % H, i % W, OH, OW, KH, KW, SH, SW, PH, PW);
    dx[i] = sum / (KH * KW);
}

// y[i, j] = x[i / SH, j / SW];  x: (N·C, H, W), n elements of y
extern "C" __global__ void upsample2d_forward(const real *x, int n, int H, int W, int SH, int SW,
                                              real *y) {
    int i = element();
    if (i >= n) return;
    int OW = W * SW, OH = H * SH;
    y[i] = x[(i / OW / OH * H + i / OW % OH / SH) * W + i % OW / SW];
}

// dx[h, w] = Σ of dy over its SH×SW block, n elements of dx
extern "C" __global__ void upsample2d_backward(const real *dy, int n, int W, int SH, int SW,
                                               real *dx) {
    int i = element();
    if (i >= n) return;
    int OW = W * SW;
    const real *block = dy + (long long)(i / W) * SH * OW + i % W * SW;  // image·H + h rows of blocks
    real sum = 0;
    for (int a = 0; a < SH; a++) {
        for (int b = 0; b < SW; b++) sum += block[a * OW + b];
    }
    dx[i] = sum;
}
