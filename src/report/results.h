// SPDX-License-Identifier: MIT
// Results of benchmarks, as files of Google Benchmark's JSON have them: a context, and benchmarks with repetitions.
#ifndef SHK_REPORT_RESULTS_H
#define SHK_REPORT_RESULTS_H

#include <jansson.h>
#include <shikaku/bench.h>

// One repetition. What is said of samples holds for a kernel's calls.
struct repetition {
    size_t steps, samples;
    double seconds;  // in the steps
    double rate;     // samples/s of the median step
    double cpu_rate; // the same by the first thread's CPU time
    double peak;     // FMA peak of one thread meanwhile, FLOP/s
    struct shk_bench_counts counts;
};
struct result {
    char name[256]; // train/tinycnn/batch:64/threads:2/avx512, gemm/cnn-fc1-forward/avx512
    bool is_kernel; // whose times are those of a call, not of a step
    char isa[16];
    unsigned threads;
    char placement[400];      // the line that says where the threads are
    double flops, flops_done; // a sample; 0: not what counts
    double bytes;             // likewise, of kernels
    uint64_t hash;            // after `hashed` steps, of kernels calls
    size_t hashed;
    size_t count; // of repetitions
    struct repetition *repetition;
};

// Of n > 0 steps; false: out of memory.
bool repetition_of(const struct shk_bench_step *, size_t n, struct repetition *out);

// The median of what `get` says of each repetition, and how far half of them lie apart, as a part of it.
struct figure {
    double median, spread;
};
struct figure result_figure(const struct result *, double (*get)(const struct repetition *));
double repetition_rate(const struct repetition *);
double repetition_cpu_rate(const struct repetition *);
double repetition_peak(const struct repetition *);
// What was counted, of a sample.
double repetition_cycles(const struct repetition *);
double repetition_instructions(const struct repetition *);
double repetition_cache_misses(const struct repetition *);
double repetition_counted_share(const struct repetition *); // of the time

// Samples of what times are given of: a step, or a call.
double result_samples(const struct result *, const struct repetition *);

// The whole file, to be released; takes over `context`. NULL: out of memory.
json_t *results_to_json(json_t *context, const struct result *, size_t count);

#endif
