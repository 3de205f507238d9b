// SPDX-License-Identifier: MIT
#include "machine/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>

unsigned shk_allowed_cpus(void) {
    // The kernel refuses a mask smaller than its own: grow until it fits.
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) return 1;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int result = sched_getaffinity(0, size, set), error = errno;
        unsigned count = result == 0 ? (unsigned)CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count) return count;
        if (error != EINVAL) return 1;
    }
    return 1;
}
