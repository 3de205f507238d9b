// SPDX-License-Identifier: MIT
// What bench measures: models, batches, threads and instruction sets, and kernels, all of them open at the same time.
#ifndef SHK_CLI_BENCHING_H
#define SHK_CLI_BENCHING_H

#include "cli/options.h"
#include "report/results.h"
#include <shikaku/machine.h>

enum { BENCHING_MODELS = 16, BENCHING_NUMBERS = 16, BENCHING_ISAS = 8, BENCHING_REPEATS = 99 };

struct benching_settings {
    struct run_settings run; // data, and how it is shown
    char *models, *isas;     // lists; models NULL: none; isas NULL: the best
    const char *kernels;     // a regular expression, found in their names; NULL: none
    uint64_t batches[BENCHING_NUMBERS], threads[BENCHING_NUMBERS];
    size_t batch_count, thread_count; // no threads: 1, and what a training would have
    const char *what;                 // train, eval or all
    bool silent;                      // about the data
    size_t repeats;
    double seconds, kernel_seconds; // of a repetition of a model, of a kernel
    bool perf;                      // the CPU's counters run, where the system lends them
};

struct benching {
    const struct benching_settings *settings;
    struct shk_machine *machine;
    struct shk_data *data; // NULL: no model is measured
    struct place *place;   // [places]: of models, then of kernels
    size_t places, kernel_places, count;
    struct shk_bench **bench;         // [count]; NULL: a kernel
    struct shk_kernel_bench **kernel; // [count]; NULL: a model
    struct result *result;            // [count]: what is known of each, and its repetitions
    struct shk_bench_step *steps;
};
// Threads that the kernel moves meet different CPUs, of which now one and now another is slower: they are pinned, as far as nobody
// has asked for something else, also those of programs that are started.
void benching_pin(void);
// Opens all of them and takes the first steps, which warm up; their hash says what was computed. Ends the program where a setting
// makes no sense.
struct benching benching_open(const struct benching_settings *);
void benching_close(struct benching *);
// Takes some steps of one of them; `out` is what they took.
void benching_run(struct benching *, size_t index, const struct shk_bench_limits *, struct repetition *out);
enum { BENCHING_STEPS = 1 << 16 }; // of a run at most
// How many steps those are that others speak of: of a kernel they count calls.
size_t benching_steps(const struct benching *, size_t index, size_t steps);
struct shk_peaks benching_peaks(const struct benching *);

#endif
