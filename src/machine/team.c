// SPDX-License-Identifier: MIT
// Threads are created, bound to their CPUs, and tried out before OpenMP needs them.
#include "machine/team.h"

#include "base/memory.h"
#include "machine/openmp.h"
#include "machine/variables.h"
#include <hwloc.h>
#include <omp.h>
#include <pthread.h>

// A few thousand pauses are some 50 to 100 us: longer than the workers' usual wait for each other, short beside a time
// slice.
enum { SPIN = 2000 };

// Binds the calling thread to its CPU; returns its former mask, NULL if nothing was changed.
static hwloc_bitmap_t pin(const struct shk_team_place *place, unsigned worker) {
    if (!place || !place->cpu || worker >= place->threads) return NULL;
    hwloc_topology_t t = place->machine->topology;
    hwloc_bitmap_t before = hwloc_bitmap_alloc(), cpu = hwloc_bitmap_alloc();
    bool ok = before && cpu && hwloc_get_cpubind(t, before, HWLOC_CPUBIND_THREAD) == 0 &&
              hwloc_bitmap_only(cpu, place->cpu[worker]) == 0 && hwloc_set_cpubind(t, cpu, HWLOC_CPUBIND_THREAD) == 0;
    hwloc_bitmap_free(cpu);
    if (ok) return before;
    hwloc_bitmap_free(before);
    return NULL;
}

static void unpin(const struct shk_team_place *place, hwloc_bitmap_t before) {
    if (!before) return;
    hwloc_set_cpubind(place->machine->topology, before, HWLOC_CPUBIND_THREAD);
    hwloc_bitmap_free(before);
}

static void run(const struct shk_team *team, shk_worker work, void *arg) {
    // LLVM's runtime otherwise polls for 200 ms at the region's end, on CPUs or a quota that others need.
    bool polls = shk_team_spin(team) > 0;
    int wait = polls ? 0 : shk_openmp_set_wait(0);
#pragma omp parallel num_threads(team->workers)
    {
        unsigned worker = (unsigned)omp_get_thread_num();
        hwloc_bitmap_t before = pin(team->place, worker);
        work(arg, worker, (unsigned)omp_get_num_threads());
        unpin(team->place, before);
    }
    if (!polls) shk_openmp_set_wait(wait);
}

struct shk_team shk_team_create(const struct shk_machine *m, const struct shk_choice *choice,
                                struct shk_team_place *place) {
    *place = (struct shk_team_place){m, choice->threads, choice->pinned ? choice->cpu : NULL};
    return (struct shk_team){.workers = choice->threads,
                             .at_once = choice->at_once,
                             .spin = choice->polls ? SPIN : 0,
                             .fixed = !choice->automatic,
                             .many_nodes = choice->many_nodes,
                             .place = place,
                             .run = run};
}

// ---- Probe ----

struct probe {
    const struct shk_team_place *place;
    unsigned worker;
    pthread_mutex_t *gate; // held until all are created
    pthread_t thread;
    bool pinned;
};

static void *probe_thread(void *arg) {
    struct probe *p = arg;
    pthread_mutex_lock(p->gate);
    pthread_mutex_unlock(p->gate);
    if (!p->place->cpu) return NULL;
    hwloc_bitmap_t before = pin(p->place, p->worker);
    p->pinned = before != NULL;
    hwloc_bitmap_free(before);
    return NULL;
}

unsigned shk_team_probe(const struct shk_machine *m, const struct shk_choice *choice, bool *pinned) {
    const struct shk_team_place place = {m, choice->threads, choice->pinned ? choice->cpu : NULL};
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct probe *probes = shk_alloc(choice->threads, sizeof *probes, "threads", NULL);
    *pinned = true;
    if (!probes) return 1;
    unsigned created = 0;
    pthread_attr_t attributes;
    const size_t stack = shk_variables_stack();
    pthread_attr_init(&attributes);
    if (stack) pthread_attr_setstacksize(&attributes, stack);
    pthread_mutex_lock(&gate);
    for (; created + 1 < choice->threads; created++) {
        probes[created] = (struct probe){.place = &place, .worker = created + 1, .gate = &gate};
        if (pthread_create(&probes[created].thread, &attributes, probe_thread, &probes[created])) break;
    }
    pthread_mutex_unlock(&gate);
    pthread_attr_destroy(&attributes);
    for (unsigned i = 0; i < created; i++) {
        pthread_join(probes[i].thread, NULL);
        *pinned = *pinned && probes[i].pinned;
    }
    hwloc_bitmap_t before = pin(&place, 0);
    *pinned = *pinned && before;
    unpin(&place, before);
    shk_free(probes);
    return created + 1;
}
