// SPDX-License-Identifier: MIT
// What a measurement depends on: the program, the machine, and what was going on there.
#ifndef SHK_REPORT_CONTEXT_H
#define SHK_REPORT_CONTEXT_H

#include <jansson.h>
#include <shikaku/bench.h>
#include <shikaku/machine.h>

struct context {
    const struct shk_machine *machine;
    const struct shk_conditions *conditions; // at the end
    const struct shk_load *load;             // meanwhile
    const struct shk_peaks *peaks;           // right behind; NULL: they were not measured
    const char *data;                        // its source
};
// The object "context" of Google Benchmark's files, with more in it; NULL: out of memory.
json_t *context_to_json(const struct context *);

#endif
