// What the kernels share: the number of an element, and sums in a fixed order.
//
// `real` is float or double: a file is compiled once for each dtype, with -Dreal=float or the like.
// Every block has THREADS threads. Sums are trees of fixed shape and no number is added by an atomic,
// so a result depends on the shapes and the numbers alone, not on the card or the order of blocks.

#define THREADS 256

// Number of this thread in a grid of one axis.
static inline __device__ int element() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Sum of one value a thread over the block; the same in every thread.
static inline __device__ double block_sum(double value) {
    __shared__ double sums[THREADS];
    int t = threadIdx.y * blockDim.x + threadIdx.x;
    __syncthreads();  // all have read the sum of an earlier call
    sums[t] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) sums[t] += sums[t + half];
        __syncthreads();
    }
    return sums[0];
}

// The largest of one value a thread over the block, the same in every thread. A NaN wins.
static inline __device__ real block_max(real value) {
    __shared__ real largest[THREADS];
    int t = threadIdx.x;
    __syncthreads();  // all have read the result of an earlier call
    largest[t] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half && !(largest[t + half] <= largest[t])) largest[t] = largest[t + half];
        __syncthreads();
    }
    return largest[0];
}

// Whether this block is the last of `blocks` to come here. It may then go on with what all of them
// wrote before, read by __ldcg, past the multiprocessor's own cache. A ticket is 0 between kernels.
static inline __device__ bool is_last(unsigned int *ticket, unsigned int blocks) {
    __shared__ bool last;
    __threadfence();  // what this thread wrote is seen before its block is counted
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        last = atomicAdd(ticket, 1u) == blocks - 1;
        if (last) *ticket = 0;
    }
    __syncthreads();
    if (last) __threadfence();  // and what it reads now is not older than the count
    return last;
}

// Makes `sum`, one value a thread of a grid of one axis, the sum of them all; true in the one thread
// that has it. partial: a number a block.
static inline __device__ bool grid_sum(double &sum, double *partial, unsigned int *ticket) {
    const int t = threadIdx.x, blocks = gridDim.x;
    sum = block_sum(sum);
    if (t == 0) partial[blockIdx.x] = sum;
    if (!is_last(ticket, blocks)) return false;
    sum = 0;
    for (int i = t; i < blocks; i += THREADS) sum += __ldcg(partial + i);
    sum = block_sum(sum);
    return t == 0;
}

// What a kernel that makes value = factor · Σ over its grid takes for it
#define TOTAL double *partial, unsigned int *ticket, double factor, double *value

// value = factor · Σ term(i), n elements
template <typename Term>
static inline __device__ void total_sum(Term term, int n, TOTAL) {
    real some = 0;
    for (int i = element(); i < n; i += gridDim.x * blockDim.x) some += term(i);
    double sum = some;
    if (grid_sum(sum, partial, ticket)) value[0] = factor * sum;
}

// What a kernel of sums over channels takes beside an array (N, K, L), L = H·W, or 1 for a matrix
#define CHANNELS int N, int K, int L, int samples, double *partial, unsigned int *tickets

// done(k, Σ term(i)) for each channel k, over its elements i. A block is 32×8 threads and takes
// `samples` samples, chunk blockIdx.y, of one channel or, where L < 32, of as many channels as have
// 32 elements together, so that neighbours in the block are neighbours in memory. The last chunk of
// them adds up what all have left in partial: (chunks, K), or (chunks, K·L) where L < 32. tickets:
// one for each blockIdx.x. Every element is visited once: a term may also write.
template <typename Term, typename Done>
static inline __device__ void channel_sums(Term term, Done done, CHANNELS) {
    const int x = threadIdx.x, y = threadIdx.y, chunks = gridDim.y;
    const int first = blockIdx.y * samples, end = min(N, first + samples);
    real some = 0;
    if (L >= 32) {
        const int k = blockIdx.x, t = y * 32 + x;
        for (int j = t; j < (end - first) * L; j += THREADS) {
            some += term(((first + j / L) * K + k) * L + j % L);
        }
        double sum = block_sum(some);
        if (t == 0) partial[blockIdx.y * K + k] = sum;
        if (!is_last(tickets + k, chunks)) return;
        sum = 0;
        for (int c = t; c < chunks; c += THREADS) sum += __ldcg(partial + c * K + k);
        sum = block_sum(sum);
        if (t == 0) done(k, sum);
        return;
    }
    __shared__ double sums[8][32];
    const int channels = 32 / L, width = K * L;  // of a block, of a sample
    const int column = blockIdx.x * channels * L + x;
    const bool within = x < channels * L && column < width;
    if (within) {
        for (int n = first + y; n < end; n += 8) some += term(n * width + column);
    }
    sums[y][x] = some;
    __syncthreads();
    if (y == 0 && within) {
        for (int row = 1; row < 8; row++) sums[0][x] += sums[row][x];
        partial[blockIdx.y * width + column] = sums[0][x];
    }
    if (!is_last(tickets + blockIdx.x, chunks)) return;
    double sum = 0;
    if (within) {
        for (int c = y; c < chunks; c += 8) sum += __ldcg(partial + c * width + column);
    }
    sums[y][x] = sum;
    __syncthreads();
    if (y == 0 && within && x % L == 0) {
        sum = 0;
        for (int l = 0; l < L; l++) {
            for (int row = 0; row < 8; row++) sum += sums[row][x + l];
        }
        done(column / L, sum);
    }
}
