// SPDX-License-Identifier: MIT
// What the user told the OpenMP runtime about binding and numbers of threads.
#ifndef SHK_MACHINE_OPENMP_H
#define SHK_MACHINE_OPENMP_H

#include <stdbool.h>

struct hwloc_bitmap_s;

struct shk_openmp {
    char
        binding[64]; // such as "OMP_PROC_BIND=close": threads are bound, or not, by OpenMP; empty: it leaves them alone
    bool off;        // that setting is to bind nothing
    bool places_alone;        // OMP_PLACES without OMP_PROC_BIND
    bool not_read;            // KMP_AFFINITY is set, but this is GCC's runtime
    bool no_places;           // it was told to bind threads, but finds no CPUs to bind them to
    bool dynamic;             // it may start fewer threads than it is asked for
    unsigned limit;           // most threads that it starts; 0: not looked at
    const char *limit_source; // the variable that says so
};
// What the runtime made of its variables, which shk_environment_check has seen.
void shk_openmp_read(struct shk_openmp *);

// Where OpenMP binds threads: the CPUs of all its places. False (and `set` is unchanged) where it does not.
bool shk_openmp_places(struct hwloc_bitmap_s *set);

// Whether this is LLVM's OpenMP runtime, by what the program is linked with, and its wait in ms at the end of a parallel region before
// threads sleep. Setting returns the value of before; nothing happens in GCC's runtime.
bool shk_openmp_is_llvm(void);
int shk_openmp_set_wait(int milliseconds);

#endif
