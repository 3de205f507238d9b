// SPDX-License-Identifier: MIT
// OpenMP's own settings are looked at and changed here.
#include "machine/openmp.h"

#include "machine/variables.h"
#include <hwloc.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

// The variable that tells the runtime how to bind threads.
static void read_binding(struct shk_openmp *o) {
    static const char *const names[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !o->binding[0]; i++) {
        const char *value = shk_variable(names[i]);
        if (value && (i != 3 || shk_openmp_is_llvm()))
            snprintf(o->binding, sizeof o->binding, "%s=%s", names[i], value);
    }
}

void shk_openmp_read(struct shk_openmp *o) {
    const int limit = omp_get_thread_limit();
    *o = (struct shk_openmp){.places_alone = shk_variable("OMP_PLACES") && !shk_variable("OMP_PROC_BIND"),
                             .not_read = shk_variable("KMP_AFFINITY") && !shk_openmp_is_llvm(),
                             .off = shk_variables_unbound(),
                             .dynamic = omp_get_dynamic() != 0,
                             .limit = limit > 0 ? (unsigned)limit : 1,
                             .limit_source = "OMP_THREAD_LIMIT"};
    if (omp_get_active_level() >= omp_get_max_active_levels()) {
        o->limit = 1;
        o->limit_source = "OMP_MAX_ACTIVE_LEVELS";
    }
    read_binding(o);
    const bool none = o->binding[0] && !o->off && omp_get_num_places() < 1;
    o->off = o->off || (none && strncmp(o->binding, "KMP_AFFINITY", 12) == 0); // as in KMP_AFFINITY=none
    o->no_places = none && !o->off;
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
