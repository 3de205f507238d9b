// SPDX-License-Identifier: MIT
// A program that takes part in a comparison: it runs beside this one, and takes steps of a benchmark when it is asked to.
#ifndef SHK_CLI_CONTENDER_H
#define SHK_CLI_CONTENDER_H

#include <jansson.h>
#include <stddef.h>

struct contender;
// Starts `program bench --serve ARGUMENT...`; arguments: ended by NULL. Ends this program in one sentence where that fails.
struct contender *contender_start(const char *program, char *const *arguments);
// Its results, as 'bench --json' writes them, with one short repetition: what it is, and what it measures. Waits until it is ready, the
// first time.
const json_t *contender_facts(struct contender *);
struct timing {
    double seconds, cpu_seconds; // of the median step; the second by the first thread's CPU time
};
struct timing contender_run(struct contender *, size_t index, size_t steps);
void contender_stop(struct contender *);

#endif
