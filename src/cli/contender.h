// SPDX-License-Identifier: MIT
// A program that takes part in a comparison: it takes steps of a benchmark when it is asked to.
#ifndef SHK_CLI_CONTENDER_H
#define SHK_CLI_CONTENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// What a program is: shikaku, which serves its benchmarks, or one made with Google Benchmark, such as bench_train, which is
// started anew for each piece.
struct contestant {
    const char *program;
    char *const *arguments; // of 'bench', or of the program; ended by NULL
    bool google;
};
// Ends this program in one sentence where that one cannot be started.
struct contestant contestant_of(const char *program, char *const *arguments);

// Runs its benchmarks, and nothing else meanwhile; what it prints, in Google Benchmark's format, to be freed.
char *contestant_measure(const struct contestant *);

struct contender;
struct contender *contender_start(const struct contestant *);
// Its results, as 'bench --json' writes them, with one short repetition: what it is, and what it measures; of a program of Google
// Benchmark the names alone. Waits until it is ready, the first time.
const json_t *contender_facts(struct contender *);
// Seconds of the median step: of the first thread's CPU time where it has one thread, so that what others take of its CPU is left
// out, else on the clock. Of a program of Google Benchmark, which decides itself how much it runs: seconds a sample, or of an iteration.
double contender_run(struct contender *, size_t index, size_t steps);
void contender_stop(struct contender *);

#endif
