// SPDX-License-Identifier: MIT
// Counters of the CPU, as the kernel lends them to a thread: what happens in user space between start and stop.
#ifndef SHK_BASE_COUNTERS_H
#define SHK_BASE_COUNTERS_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

// perf_event_open's type and config. A group of them counts at the same time or not at all.
struct shk_event {
    uint32_t type;
    uint64_t config;
};
enum { SHK_CYCLES, SHK_INSTRUCTIONS, SHK_CACHE_MISSES, SHK_EVENTS };
extern const struct shk_event shk_cpu_events[SHK_EVENTS];

struct shk_counters {
    int file[SHK_EVENTS]; // file[0] leads the group
};
struct shk_counted {
    double value[SHK_EVENTS]; // where others used the counters too: what it would be, had they counted all the time
    double share;             // of the time that they should have counted they did
};
// Of the calling thread. False: the system lends none, and the sentence says why.
bool shk_counters_open(const struct shk_event events[SHK_EVENTS], struct shk_counters *out, struct shk_error *err);
void shk_counters_start(const struct shk_counters *);
void shk_counters_stop(const struct shk_counters *);
// False: they never counted, since others have them.
bool shk_counters_close(const struct shk_counters *, struct shk_counted *out, struct shk_error *err);

// Why perf_event_open failed with `error` where kernel.perf_event_paranoid is `paranoid` ("": unknown), as the end of a sentence.
void shk_counters_reason(int error, const char *paranoid, char *out, size_t size);

#endif
