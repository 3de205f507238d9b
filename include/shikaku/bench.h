// SPDX-License-Identifier: MIT
// Training steps, forward passes and kernels one by one, each timed: what 'shikaku bench' and the programs in bench/ measure with.
//
// Handles, errors and threads as in shikaku/shikaku.h. A benchmark always takes the same steps: those of a training with the
// same weights, order and batches, so that two programs can be compared step by step.
#ifndef SHIKAKU_BENCH_H
#define SHIKAKU_BENCH_H

#include <shikaku/shikaku.h>

#ifdef __cplusplus
extern "C" {
#endif

// After so many epochs a benchmark of training begins anew with fresh weights: how sparse gradients are changes as a model
// learns, and with it the work.
enum { SHK_BENCH_EPOCHS = 5 };

struct shk_bench_options { // 0 stands for the default
    const char *model;     // a description
    size_t batch;          // 64
    bool evaluation;       // a step is a forward pass over `batch` samples, else a training step
    uint64_t seed;         // of weights and order; 0 is a seed
};
struct shk_bench_step {
    size_t samples;
    double seconds;     // on the clock
    double cpu_seconds; // of the first thread: what other programs take is not in it
    double peak;        // FLOP/s of one thread on registers (an FMA is two), in a burst right after the step
};
struct shk_bench;
// Data and runtime must outlive it.
struct shk_bench *shk_bench_create(const struct shk_bench_options *, const struct shk_dataset *data,
                                   const struct shk_runtime *, struct shk_error *error);
void shk_bench_free(struct shk_bench *);
struct shk_bench_limits {
    size_t least, most; // steps, 1 <= least <= most
    double seconds;     // spent in steps: between least and most it ends after so many
};
// Takes the next steps. out: [most]. Returns how many; 0: *error says why.
size_t shk_bench_run(struct shk_bench *, const struct shk_bench_limits *, struct shk_bench_step *out,
                     struct shk_error *error);
size_t shk_bench_steps(const struct shk_bench *); // that were taken so far
double shk_bench_loss(const struct shk_bench *);  // mean of the last step
// Of weights, and of the losses of the last step: of programs that computed the same it is the same after as many steps.
uint64_t shk_bench_hash(const struct shk_bench *);
// FLOPs a sample: with every layer dense, and those that are really done (without what is pruned or known to be 0).
double shk_bench_flops(const struct shk_bench *);
double shk_bench_flops_done(const struct shk_bench *);
const struct shk_model *shk_bench_model(const struct shk_bench *);

// From now on the CPU's counters run in each step, in user space, on all threads; a step takes some microseconds longer. False: the
// system lends none (Linux alone does, and a virtual machine often has none); *error says why, and nothing has changed.
bool shk_bench_count(struct shk_bench *, struct shk_error *error);
struct shk_bench_counts { // of all steps of the last shk_bench_run and all threads; waiting for each other counts, too
    double cycles, instructions, cache_misses;
    double share; // of the time; below 1 others had the counters too, and the figures are scaled up; 0: not counted
};
struct shk_bench_counts shk_bench_counts(const struct shk_bench *);

// Kernels, each on a shape that tinycnn or tinyvit gives it; kernel and shape together are a name of its own.
struct shk_kernel_facts {
    const char *kernel, *shape; // "gemm", "cnn-fc1-forward"
    double flops, bytes; // of a call: of a convolution as if it were dense; each operand once; 0: not what counts
};
size_t shk_kernel_bench_count(void);
bool shk_kernel_bench_facts(size_t index, struct shk_kernel_facts *out); // false: there are not so many
// Calls of one of them, by the runtime's first thread.
struct shk_kernel_bench;
// Makes the operands, the same each time, and the first calls, which warm up. The runtime must outlive it.
struct shk_kernel_bench *shk_kernel_bench_create(size_t index, const struct shk_runtime *, struct shk_error *error);
void shk_kernel_bench_free(struct shk_kernel_bench *);
// As shk_bench_run; a step is some 50 us of calls, its samples. The peak is measured behind every 16th step.
size_t shk_kernel_bench_run(struct shk_kernel_bench *, const struct shk_bench_limits *, struct shk_bench_step *out);
size_t shk_kernel_bench_calls(const struct shk_kernel_bench *); // of a step; differs from one start to the next
// Of what the first SHK_KERNEL_BENCH_HASHED calls wrote: the same on any instruction set.
uint64_t shk_kernel_bench_hash(const struct shk_kernel_bench *);
enum { SHK_KERNEL_BENCH_HASHED = 3 };

// What the machine can do at most, right now: all threads at once, the best of some tries.
struct shk_peaks {
    double flops;        // of one thread in a second while all run: FMAs on registers
    double bandwidth;    // bytes a second, all threads: a stream that is read and written
    double stream_bytes; // of that stream: a cache that holds it makes the bandwidth the cache's
};
bool shk_peaks_measure(const struct shk_runtime *, struct shk_peaks *out, struct shk_error *error);

#ifdef __cplusplus
}
#endif

#endif
