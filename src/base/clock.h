// SPDX-License-Identifier: MIT
// A clock that is not set tells seconds.
#ifndef SHK_BASE_CLOCK_H
#define SHK_BASE_CLOCK_H

#include <time.h>

// Seconds on a clock that never goes back.
static inline double shk_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
