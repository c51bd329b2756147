// The tiled matrix product that dense.cu and conv2d.cu share.
//
//     put(m, column(r), Σ_q a(m, q) b(q, r)),  0 <= m < M, 0 <= r < R, first <= q < last
//
// a and b are operands, which say where an element stands, so a convolution's columns are never
// written to memory (implicit GEMM). A block of 16×16 threads makes a tile of 16·ROWS × 16·COLUMNS
// products, a thread ROWS × COLUMNS of them in registers. DEPTH terms at a time go through shared
// memory; while they are multiplied, the next are on their way into registers. Products are true
// float32 (or float64) and each sum runs in order of q.
//
// A_ALONG_Q: neighbours in q are neighbours in the memory of a (otherwise neighbours in m); the
// threads then fetch along q, which makes one wide access of theirs. B_ALONG_Q likewise.

// An element is at(line(m), term(q)): line, of m or r, is made once, before the loop over terms.
template <typename Line, typename Term, typename At>
struct Operand {
    Line line;
    Term term;
    At at;
};
template <typename Line, typename Term, typename At>
static inline __device__ Operand<Line, Term, At> operand(Line line, Term term, At at) {
    return {line, term, at};
}

// x[i·line_step + q·term_step]
static inline __device__ auto matrix(const real *x, int line_step, int term_step) {
    return operand([=](int i) { return i * line_step; }, [=](int q) { return q * term_step; },
                   [=](int line, int term) { return x[line + term]; });
}

// n / d for 0 <= n < 2^31, 1 <= d < 2^31, by a product: n m / 2^p, m = ⌈2^p / d⌉, p = 31 + ⌈log2 d⌉
// (Granlund and Montgomery 1994). Dividing by what the compiler does not know takes far longer.
struct Divisor {
    int d, p;
    unsigned int m;
};
static inline __device__ Divisor divisor(int d) {
    int p = 31;
    while (1u << (p - 31) < d) p++;
    return {d, p, (unsigned int)(((1ull << p) + d - 1) / d)};
}
static inline __device__ int operator/(int n, Divisor by) {
    return (unsigned long long)n * by.m >> by.p;
}
static inline __device__ int operator%(int n, Divisor by) { return n - n / by * by.d; }

#define DEPTH 16

// Place in the tile of the i-th of WIDTH rows or columns of thread t of 16: fours stay together,
// so that shared memory is read 16 bytes at a time.
template <int WIDTH>
static inline __device__ int place(int t, int i) {
    return WIDTH == 8 ? (i / 4) * 64 + t * 4 + i % 4 : t * WIDTH + i;
}

template <int ROWS, int COLUMNS, bool A_ALONG_Q, bool B_ALONG_Q, typename A, typename B,
          typename Column, typename Put>
static inline __device__ void tiled_product(int M, int R, int first, int last, A a, B b,
                                            Column column, Put put) {
    const int HEIGHT = 16 * ROWS, WIDTH = 16 * COLUMNS;
    __shared__ __align__(16) real a_tile[DEPTH][HEIGHT + 4];
    __shared__ __align__(16) real b_tile[DEPTH][WIDTH + 4];
    const int t = threadIdx.x, tx = t % 16, ty = t / 16;
    const int m0 = blockIdx.y * HEIGHT, r0 = blockIdx.x * WIDTH;

    real a_next[ROWS], b_next[COLUMNS], sum[ROWS][COLUMNS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) sum[i][j] = 0;
    }

    // this thread's i-th element of a tile: (m, q) of a, (q, r) of b
    auto a_m = [&](int i) { return A_ALONG_Q ? t / DEPTH + 16 * i : (t + THREADS * i) % HEIGHT; };
    auto a_q = [&](int i) { return A_ALONG_Q ? t % DEPTH : (t + THREADS * i) / HEIGHT; };
    auto b_r = [&](int i) { return B_ALONG_Q ? t / DEPTH + 16 * i : (t + THREADS * i) % WIDTH; };
    auto b_q = [&](int i) { return B_ALONG_Q ? t % DEPTH : (t + THREADS * i) / WIDTH; };
    decltype(a.line(0)) a_line[ROWS];
    decltype(b.line(0)) b_line[COLUMNS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) a_line[i] = a.line(m0 + a_m(i));
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) b_line[i] = b.line(r0 + b_r(i));
    auto fetch = [&](int q0) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            int m = m0 + a_m(i), q = q0 + a_q(i);
            auto term = a.term(q);
            a_next[i] = m < M && q < last ? a.at(a_line[i], term) : real(0);
        }
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) {
            int r = r0 + b_r(i), q = q0 + b_q(i);
            auto term = b.term(q);
            b_next[i] = r < R && q < last ? b.at(b_line[i], term) : real(0);
        }
    };

    fetch(first);
    for (int q0 = first; q0 < last; q0 += DEPTH) {
        __syncthreads();  // all have used the tiles before
#pragma unroll
        for (int i = 0; i < ROWS; i++) a_tile[a_q(i)][a_m(i)] = a_next[i];
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) b_tile[b_q(i)][b_r(i)] = b_next[i];
        __syncthreads();  // the tiles are whole
        if (q0 + DEPTH < last) fetch(q0 + DEPTH);
#pragma unroll
        for (int q = 0; q < DEPTH; q++) {
            real a_row[ROWS], b_row[COLUMNS];
#pragma unroll
            for (int i = 0; i < ROWS; i++) a_row[i] = a_tile[q][place<ROWS>(ty, i)];
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) b_row[j] = b_tile[q][place<COLUMNS>(tx, j)];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
#pragma unroll
                for (int j = 0; j < COLUMNS; j++) sum[i][j] += a_row[i] * b_row[j];
            }
        }
    }

#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        int r = r0 + place<COLUMNS>(tx, j);
        if (r >= R) continue;
        auto where = column(r);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            int m = m0 + place<ROWS>(ty, i);
            if (m < M) put(m, where, sum[i][j]);
        }
    }
}
