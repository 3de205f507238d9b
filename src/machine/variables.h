// SPDX-License-Identifier: MIT
// OpenMP's environment variables as its specification has them. They are read here, too, as a runtime ignores, or ends the process
// over, a value that makes no sense.
#ifndef SHK_MACHINE_VARIABLES_H
#define SHK_MACHINE_VARIABLES_H

#include <shikaku/error.h>
#include <stdbool.h>
#include <stddef.h>

// The variable's value from its first character that is no blank; NULL: not set, or nothing but blanks.
const char *shk_variable(const char *name);

struct hwloc_bitmap_s;

// Whether those of OpenMP's variables that concern threads make sense. Asks no OpenMP runtime anything.
bool shk_variables_check(struct shk_error *err);

unsigned shk_variables_threads(void); // the first of OMP_NUM_THREADS; 0: not set
size_t shk_variables_stack(void);     // bytes of a thread's stack, by OMP_STACKSIZE; 0: not set
bool shk_variables_unbound(void);     // OMP_PROC_BIND is to bind nothing

// Whether the CPUs that they name are among those that the system lets this process use: some of OMP_PLACES, of which runtimes
// ignore the others, and all of GOMP_CPU_AFFINITY, of which GCC's ends the process over one that cannot be had.
bool shk_variables_check_cpus(const struct hwloc_bitmap_s *allowed, struct shk_error *err);

#endif
