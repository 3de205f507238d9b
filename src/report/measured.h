// SPDX-License-Identifier: MIT
// Reads results of benchmarks, as Google Benchmark's JSON has them: what 'shikaku bench --json' writes, and the programs in bench/.
#ifndef SHK_REPORT_MEASURED_H
#define SHK_REPORT_MEASURED_H

#include "report/statistics.h"
#include <jansson.h>
#include <shikaku/shikaku.h>

enum { MEASURED_NAME = 256, MEASURED_PLACEMENT = 400, MEASURED_BENCHMARKS = 4096 };

// One benchmark. A step is what its repetitions are counted in, the same in all files for the same name: a training step or a
// forward pass; a sample, where a file says samples/s but not how many are in a step; or an iteration.
struct measured_benchmark {
    char name[MEASURED_NAME];
    char placement[MEASURED_PLACEMENT]; // "": not known
    unsigned threads;
    size_t samples; // of a step; 0: not known
    bool hashed;    // the file says the hash of what was computed
    uint64_t hash;
    size_t hashed_steps; // after which it was taken
    size_t count;        // of repetitions, 1 to STATISTICS_MOST
    double *seconds;     // [count], of a step
    bool by_cpu;         // one thread, and its CPU time is known: what other programs took is not in it
    double *cpu_seconds; // [count]
};
struct measured {
    json_t *context; // an object
    struct measured_benchmark *benchmark;
    size_t count;      // 1 to MEASURED_BENCHMARKS
    char warning[640]; // a sentence about benchmarks that are left out; "": none
};

// False: the file cannot be read, or is none of these; the sentence says where and what is wrong in it.
bool measured_read(const char *path, struct measured *out, struct shk_error *);
bool measured_from_text(const char *text, size_t size, const char *path, struct measured *out, struct shk_error *);
// Of the value of such a file; place: for sentences.
bool measured_from_json(const json_t *file, const char *place, struct measured *out, struct shk_error *);
void measured_free(struct measured *);
const struct measured_benchmark *measured_find(const struct measured *, const char *name); // NULL: there is none
// What is compared: CPU time where both have it, else the clock's.
const double *measured_times(const struct measured_benchmark *, bool by_cpu);

#endif
