// Random numbers by Philox4x32-10 (Salmon et al. 2011). Derivation: reference/philox.py
//
// A thread makes one block of four words: of sample n, columns 4j ... 4j + 3, with the counter
// (j, rows[n], step, purpose) and the key (k0, k1). out: (N, D);  blocks = ⌈D / 4⌉.
#include "common.cuh"

struct Words {
    unsigned int x[4];
};

// Ten rounds. A round makes words 0, 1, 2, 3 into hi(M1 w2) ^ w1 ^ k0, lo(M1 w2), hi(M0 w0) ^ w3 ^
// k1, lo(M0 w0); then the key takes one Weyl step.
static inline __device__ Words philox4x32(Words w, unsigned int k0, unsigned int k1) {
    const unsigned int M0 = 0xD2511F53u, M1 = 0xCD9E8D57u;
    for (int round = 0; round < 10; round++) {
        Words next = {{__umulhi(M1, w.x[2]) ^ w.x[1] ^ k0, M1 * w.x[2],
                       __umulhi(M0, w.x[0]) ^ w.x[3] ^ k1, M0 * w.x[0]}};
        w = next;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return w;
}

// The words of block i of N·blocks
static inline __device__ Words words(int i, int blocks, unsigned int k0, unsigned int k1,
                              unsigned int purpose, const long long *step, const long long *rows) {
    Words counter = {{(unsigned int)(i % blocks), (unsigned int)rows[i / blocks],
                      (unsigned int)step[0], purpose}};
    return philox4x32(counter, k0, k1);
}

// u = ((x >> 9) + ½) · 2⁻²³, exact in float
static inline __device__ double uniform(unsigned int x) { return ((x >> 9) + 0.5) / 8388608.0; }

#define STREAM                                                                                    \
    unsigned int k0, unsigned int k1, unsigned int purpose, const long long *step,                \
        const long long *rows, int N, int D

// For each number of this thread's block: out[n, 4j + place] = value(words, place)
template <typename T, typename Value>
static inline __device__ void draw(STREAM, T *out, Value value) {
    int blocks = (D + 3) / 4, i = element();
    if (i >= N * blocks) return;
    Words w = words(i, blocks, k0, k1, purpose, step, rows);
    int d = i % blocks * 4;
    for (int place = 0; place < 4 && d + place < D; place++) {
        out[(long long)(i / blocks) * D + d + place] = value(w, place);
    }
}

extern "C" __global__ void random_uint32(STREAM, unsigned int *out) {
    draw(k0, k1, purpose, step, rows, N, D, out, [](Words w, int place) { return w.x[place]; });
}

extern "C" __global__ void random_uniform(STREAM, real *out) {
    draw(k0, k1, purpose, step, rows, N, D, out,
         [](Words w, int place) { return real(uniform(w.x[place])); });
}

// Box-Muller on pairs of one block, in double precision
extern "C" __global__ void random_normal(STREAM, real *out) {
    draw(k0, k1, purpose, step, rows, N, D, out, [](Words w, int place) {
        int even = place / 2 * 2;
        double radius = sqrt(-2 * log(uniform(w.x[even])));
        double angle = 2 * 3.14159265358979323846 * uniform(w.x[even + 1]);
        return real(radius * (place == even ? cos(angle) : sin(angle)));
    });
}

// 1 where u < keep
extern "C" __global__ void random_bernoulli(STREAM, double keep, real *out) {
    draw(k0, k1, purpose, step, rows, N, D, out,
         [=](Words w, int place) { return real(uniform(w.x[place]) < keep ? 1 : 0); });
}
