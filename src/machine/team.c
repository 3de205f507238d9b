// SPDX-License-Identifier: MIT
#include "machine/team.h"

#include <omp.h>

// A few thousand pauses are some 50 to 100 us: longer than the workers' usual wait for each other, short beside a time
// slice.
enum { SPIN = 2000 };

static void run(const struct shk_team *team, shk_worker work, void *arg) {
#pragma omp parallel num_threads(team->workers)
    work(arg, (unsigned)omp_get_thread_num(), (unsigned)omp_get_num_threads());
}

void shk_team_init(struct shk_team *team, unsigned workers, unsigned cpus) {
    // With more workers than CPUs, the one that is waited for needs the CPU of the one that waits.
    *team = (struct shk_team){.workers = workers, .spin = workers > cpus ? 0 : SPIN, .run = run};
}
