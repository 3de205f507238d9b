// SPDX-License-Identifier: MIT
// The CPU time that control groups grant this process: version 2 (cpu.max) and version 1 (cpu.cfs_quota_us), through
// every parent that can be seen.
#ifndef SHK_MACHINE_QUOTA_H
#define SHK_MACHINE_QUOTA_H

#include <shikaku/machine.h>

struct shk_quota {
    double cpus;               // the tightest; 0: none
    char file[SHK_LINE];       // which file said so
    char malformed[SHK_LINE];  // a file that holds no quota as the kernel writes it: ignored
    double throttled;          // seconds in which the groups with a quota were held back so far, their threads together
    unsigned long long events; // how often
};

// root: what stands before /proc and /sys, "" for this system's own.
void shk_quota_read(const char *root, struct shk_quota *out);

#endif
