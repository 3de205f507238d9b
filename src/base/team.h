// SPDX-License-Identifier: MIT
// A team of workers as the training step sees it (src/machine makes one), and the barrier at which they meet.
#ifndef SHK_BASE_TEAM_H
#define SHK_BASE_TEAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef void (*shk_worker)(void *arg, unsigned worker, unsigned workers);

struct shk_team {
    unsigned workers;  // at most this many
    unsigned at_once;  // how many of them can run at the same time; 0: all
    unsigned spin;     // polls of at most so many at a barrier before they sleep; of more, none
    bool fixed;        // the number is the user's: not fewer where there are fewer tasks
    bool many_nodes;   // the workers are on several NUMA nodes: the memory of each lies on pages of its own
    const void *place; // of src/machine: which CPU each worker is pinned to; NULL: none
    // Calls work(arg, i, n) once for every i < n <= workers, at the same time, and returns when all are done.
    void (*run)(const struct shk_team *, shk_worker work, void *arg);
};

// The team for work whose steps have `tasks` tasks: without workers that would have none.
static inline struct shk_team shk_team_for(const struct shk_team *team, size_t tasks) {
    struct shk_team t = *team;
    if (!t.fixed && tasks < t.workers) t.workers = (unsigned)tasks;
    return t;
}

static inline unsigned shk_team_at_once(const struct shk_team *t) {
    return t->at_once && t->at_once < t->workers ? t->at_once : t->workers;
}

// Polls at a barrier of all workers: with turns, the one that is waited for needs the CPU of the one that
// waits.
static inline unsigned shk_team_spin(const struct shk_team *t) {
    return shk_team_at_once(t) < t->workers ? 0 : t->spin;
}

struct shk_barrier {
    _Alignas(64) atomic_uint arrived;
    // Meetings so far, times two; odd where somebody sleeps until it changes. One word says both, so that who
    // ends a meeting learns by the same exchange whether there is anybody to wake.
    _Alignas(64) atomic_uint phase; // also the futex word
};

// Returns when all `workers` have called it; what they wrote before is visible after. All zero is a barrier
// ready for use.
void shk_barrier_wait(struct shk_barrier *, unsigned workers, unsigned spin);

// A worker's share of a phase's tasks: how many of them have been taken, by itself or by others.
struct shk_share {
    _Alignas(64) atomic_uint taken;
};

// Hands out tasks 0 .. tasks-1, which lie in equal shares. A worker takes its own in order, the same ones in
// each step, so that what they touch stays in its cache, and then what the workers at a distance of 1, 2, 4,
// ... have left: each has helpers, and nobody looks at the counters of more than a few. Returns false when
// all these are taken; every worker has to ask until then.
static inline bool shk_take(struct shk_share *shares, size_t tasks, unsigned worker, unsigned workers, size_t *task) {
    for (unsigned distance = 0; distance < workers; distance = distance ? 2 * distance : 1) {
        unsigned owner = (worker + distance) % workers;
        size_t first = tasks * owner / workers, count = tasks * (owner + 1) / workers - first;
        if (atomic_load_explicit(&shares[owner].taken, memory_order_relaxed) >= count) continue;
        unsigned taken = atomic_fetch_add_explicit(&shares[owner].taken, 1, memory_order_relaxed);
        if (taken >= count) continue;
        *task = first + taken;
        return true;
    }
    return false;
}

// By the owner, while nobody takes from it.
static inline void shk_share_reset(struct shk_share *s) { atomic_store_explicit(&s->taken, 0, memory_order_relaxed); }

#endif
