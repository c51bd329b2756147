// CUDA C++ on the processor: kernels/*.cu built by a C++ compiler and run block by block.
//
// The threads of a block are fibers. One runs until it ends or comes to __syncthreads(); when all
// have come there, they go on, in order or in reverse. Shared memory is full of NaN when a block
// begins. So a missing barrier, an unwritten tile, or a result that hangs on the order of threads
// or blocks shows up as a wrong number. A barrier that not all threads reach is reported.
//
// A fiber begins by setcontext and from then on switches by longjmp, which makes no system call.
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("shared_memory")))
#define __syncthreads() host::barrier(__LINE__)

using std::cos, std::exp, std::expm1, std::fabs, std::log, std::log1p, std::pow, std::sin,
    std::sqrt, std::tanh;
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
// blocks run one after another
#define __threadfence()
template <typename T>
static inline T __ldcg(const T *x) {
    return *x;
}
static inline unsigned int atomicAdd(unsigned int *x, unsigned int more) {
    unsigned int before = *x;
    *x += more;
    return before;
}
static inline unsigned int __umulhi(unsigned int a, unsigned int b) {
    return (unsigned long long)a * b >> 32;
}

struct dim3 {
    unsigned int x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

extern "C" char __start_shared_memory[] __attribute__((weak));
extern "C" char __stop_shared_memory[] __attribute__((weak));

namespace host {

struct Fiber {
    ucontext_t beginning;
    jmp_buf place;
    bool begun;
    dim3 thread;
    int line;  // of the barrier it waits at
};

static jmp_buf scheduler;
static std::vector<Fiber *> idle, ready, waiting;
static Fiber *running;
static int started, finished, total;
static bool reversed;
static void (*kernel)(void **);
static void **arguments;

static void leave() {
    if (_setjmp(running->place) == 0) _longjmp(scheduler, 1);
}

static void barrier(int line) {
    running->thread = threadIdx;
    running->line = line;
    waiting.push_back(running);
    leave();
    threadIdx = running->thread;
}

// One fiber runs thread after thread; only where one waits at a barrier is another needed.
static void fiber() {
    for (;;) {
        while (started < total) {
            unsigned int t = reversed ? total - 1 - started : started;
            started++;
            threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
            kernel(arguments);
            finished++;
        }
        idle.push_back(running);
        leave();
    }
}

static Fiber *idle_fiber() {
    if (!idle.empty()) {
        Fiber *f = idle.back();
        idle.pop_back();
        return f;
    }
    const size_t size = 64 * 1024;
    Fiber *f = new Fiber();
    getcontext(&f->beginning);
    f->beginning.uc_stack.ss_sp = malloc(size);
    f->beginning.uc_stack.ss_size = size;
    makecontext(&f->beginning, fiber, 0);
    return f;
}

static void resume(Fiber *f) {
    running = f;
    if (_setjmp(scheduler) != 0) return;
    if (f->begun) _longjmp(f->place, 1);
    f->begun = true;
    setcontext(&f->beginning);
}

// Runs the threads of blockIdx; what is wrong with its barriers, or null.
static const char *run_block() {
    if (__start_shared_memory != nullptr) {
        memset(__start_shared_memory, 0xFF, __stop_shared_memory - __start_shared_memory);
    }
    started = finished = 0;
    total = blockDim.x * blockDim.y * blockDim.z;
    for (;;) {
        while (started < total) resume(idle_fiber());
        if (waiting.empty()) return nullptr;
        bool same = true;
        for (Fiber *f : waiting) same = same && f->line == waiting[0]->line;
        if (finished > 0 || !same) {
            waiting.clear();
            return finished > 0 ? "some threads ended before a barrier that others wait at"
                                : "threads of a block wait at different barriers";
        }
        std::swap(ready, waiting);
        for (Fiber *f : ready) resume(f);
        ready.clear();
    }
}

static const char *launch(void (*function)(void **), const unsigned int *grid,
                          const unsigned int *block, void **with, int backwards) {
    kernel = function;
    arguments = with;
    reversed = backwards;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    unsigned long long blocks = (unsigned long long)grid[0] * grid[1] * grid[2];
    for (unsigned long long i = 0; i < blocks; i++) {
        unsigned long long b = reversed ? blocks - 1 - i : i;
        blockIdx = {(unsigned int)(b % grid[0]), (unsigned int)(b / grid[0] % grid[1]),
                    (unsigned int)(b / grid[0] / grid[1])};
        const char *wrong = run_block();
        if (wrong != nullptr) return wrong;
    }
    return nullptr;
}

template <typename... Types, size_t... Places>
static void call(void (*function)(Types...), void **with, std::index_sequence<Places...>) {
    function(*(Types *)with[Places]...);
}
template <typename... Types>
static void call(void (*function)(Types...), void **with) {
    call(function, with, std::index_sequence_for<Types...>());
}

}  // namespace host

// What is called from outside, for each kernel
#define ENTRY(name)                                                                               \
    extern "C" const char *launch_##name(const unsigned int *grid, const unsigned int *block,     \
                                         void **with, int backwards) {                            \
        return host::launch([](void **p) { host::call(name, p); }, grid, block, with, backwards); \
    }
