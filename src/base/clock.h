// SPDX-License-Identifier: MIT
// Clocks that are not set tell seconds.
#ifndef SHK_BASE_CLOCK_H
#define SHK_BASE_CLOCK_H

#include <time.h>

// Seconds on a clock that never goes back.
static inline double shk_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// CPU time of the calling thread.
static inline double shk_thread_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
