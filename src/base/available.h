// SPDX-License-Identifier: MIT
// This says how much memory the process may still take, and prints amounts of it.
#ifndef SHK_BASE_AVAILABLE_H
#define SHK_BASE_AVAILABLE_H

#include <stdbool.h>
#include <stdint.h>

// How many bytes this process may still take before the kernel ends a process for want of memory: the least of what the
// system has (MemAvailable, and swap) and of what the limits of its control groups leave, reclaimable file cache not
// counted as used; without what its own large blocks were promised and have not touched yet. Not covered: what other
// processes will take, and limits that the kernel enforces by refusing (ulimit -v and -d). False: nothing is known.
// root: what stands before /proc and /sys, "" for this system's own.
bool shk_memory_available(const char *root, uint64_t *bytes);

// "40.2 GiB" of bytes.
struct shk_amount {
    char text[32];
};
struct shk_amount shk_amount_of(uint64_t bytes);

#endif
