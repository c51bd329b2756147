// What the kernels share: the number of an element, and sums in a fixed order.
//
// `real` is float or double: a file is compiled once for each dtype, with -Dreal=float or the like.
// Every block has THREADS threads. Sums are trees of fixed shape and no atomic is used, so a result
// depends on the shapes and the numbers alone, not on the card or on the order of the blocks.

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

// partial[block] = Σ term(i) over the elements i that fall to this block, n in all.
template <typename Term>
static inline __device__ void partial_sum(Term term, int n, double *partial) {
    real sum = 0;
    for (int i = element(); i < n; i += gridDim.x * blockDim.x) sum += term(i);
    double total = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// partial[chunk, k] = Σ term(i) over the elements i of channel k in a chunk of samples, for an
// array (N, K, L), L = H·W, or 1 for a matrix; chunk = blockIdx.y. A block is 32×8 threads. It takes
// 32 channels where L < 32, so that neighbours in the block are neighbours in memory, and one
// channel otherwise. Every element is visited once: a term may also write.
template <typename Term>
static inline __device__ void channel_sums(Term term, int N, int K, int L, int samples, double *partial) {
    int first = blockIdx.y * samples;
    int count = min(samples, N - first);
    real sum = 0;
    if (L >= 32) {
        int k = blockIdx.x;
        int t = threadIdx.y * blockDim.x + threadIdx.x;
        for (int j = t; j < count * L; j += THREADS) {
            sum += term(((first + j / L) * K + k) * L + j % L);
        }
        double total = block_sum(sum);
        if (t == 0) partial[blockIdx.y * K + k] = total;
    } else {
        __shared__ double sums[8][32];
        int k = blockIdx.x * 32 + threadIdx.x;
        if (k < K) {
            for (int n = first + threadIdx.y; n < first + count; n += 8) {
                for (int l = 0; l < L; l++) sum += term((n * K + k) * L + l);
            }
        }
        sums[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && k < K) {
            double total = 0;
            for (int y = 0; y < 8; y++) total += sums[y][threadIdx.x];
            partial[blockIdx.y * K + k] = total;
        }
    }
}
