// SPDX-License-Identifier: MIT
// OpenMP's own settings are looked at and changed here.
#include "machine/openmp.h"

#include <hwloc.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

// LLVM's runtime has these, GCC's has not.
extern void kmp_set_blocktime(int) __attribute__((weak));
extern int kmp_get_blocktime(void) __attribute__((weak));

bool shk_openmp_is_llvm(void) { return kmp_set_blocktime != NULL; }

int shk_openmp_set_wait(int milliseconds) {
    if (!kmp_set_blocktime || !kmp_get_blocktime) return 0;
    int before = kmp_get_blocktime();
    kmp_set_blocktime(milliseconds);
    return before;
}

static const char *variable(const char *name) {
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

void shk_openmp_read(struct shk_openmp *o) {
    *o = (struct shk_openmp){0};
    const char *bind = variable("OMP_PROC_BIND"), *places = variable("OMP_PLACES");
    const char *names[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    bool llvm = shk_openmp_is_llvm();
    o->places_alone = places && !bind;
    o->not_read = variable("KMP_AFFINITY") && !llvm;
    for (size_t i = 0; i < sizeof names / sizeof *names && !o->binding[0]; i++) {
        const char *value = variable(names[i]);
        if (!value || (i == 3 && !llvm)) continue;
        snprintf(o->binding, sizeof o->binding, "%s=%s", names[i], value);
        o->off = i == 0 && strcasecmp(value, "false") == 0;
    }
    int limit = omp_get_thread_limit();
    o->limit = limit > 0 ? (unsigned)limit : 1;
}

bool shk_openmp_places(hwloc_bitmap_t set) {
    struct shk_openmp o;
    shk_openmp_read(&o);
    int places = o.binding[0] && !o.off ? omp_get_num_places() : 0;
    if (places < 1) return false;
    hwloc_bitmap_zero(set);
    for (int p = 0; p < places; p++) {
        int n = omp_get_place_num_procs(p);
        int *cpus = n > 0 ? malloc((size_t)n * sizeof *cpus) : NULL;
        if (!cpus) continue;
        omp_get_place_proc_ids(p, cpus);
        for (int i = 0; i < n; i++) hwloc_bitmap_set(set, (unsigned)cpus[i]);
        free(cpus);
    }
    return !hwloc_bitmap_iszero(set);
}
