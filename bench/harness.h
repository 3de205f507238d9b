// SPDX-License-Identifier: MIT
// Training steps and forward passes one by one, each timed. In C, since the step's headers are.
#ifndef SHK_BENCH_HARNESS_H
#define SHK_BENCH_HARNESS_H

#include <shikaku/shikaku.h>

#ifdef __cplusplus
extern "C" {
#endif

struct harness_options {
    const char *model, *isa;
    struct shk_shape shape; // squares where they have it, else random images and labels
    size_t samples, batch;
    unsigned threads;
    bool training; // else forward only; a "step" is then a pass over all samples
};

struct harness_result {
    size_t steps, samples;
    double seconds;         // in the steps
    double median_rate;     // samples/s of the median step
    double median_cpu_rate; // the same by the CPU time of the first thread: what other processes take is not counted
    double peak;            // GFLOP/s of one core, the median of a burst after each step
    double loss;            // mean, last step
};

struct harness;
struct harness *harness_open(const struct harness_options *, struct shk_error *);
// Goes on where the last run ended; ends after `epochs`, or after max_seconds if at least 5 steps were taken. False if
// a loss or a gradient was not finite.
bool harness_run(struct harness *, unsigned epochs, double max_seconds, struct harness_result *);
double harness_flops(const struct harness *);      // nominal, one sample, every layer dense
double harness_flops_done(const struct harness *); // one sample of a whole batch, pruned and sparse parts not counted
void harness_close(struct harness *);

#ifdef __cplusplus
}
#endif

#endif
