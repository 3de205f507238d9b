// SPDX-License-Identifier: MIT
// A list of CPUs is what the kernel and taskset write: 0-3,8.
#ifndef SHK_MACHINE_CPULIST_H
#define SHK_MACHINE_CPULIST_H

#include <stdbool.h>
#include <stddef.h>

enum { SHK_MAX_CPU_NUMBER = 65535 };

// "0-3,8" into numbers, in this order, each once and at most `most` of them; false if it is anything else.
bool shk_cpulist_parse(const char *text, unsigned *out, unsigned most, unsigned *count);
// The other way, in the order given; what does not fit ends in "...".
void shk_cpulist_format(const unsigned *cpus, unsigned count, char *out, size_t size);

#endif
