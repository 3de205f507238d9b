// SPDX-License-Identifier: MIT
// A team of workers as the training step sees it (src/machine makes one), and the barrier at which they meet.
#ifndef SHK_BASE_TEAM_H
#define SHK_BASE_TEAM_H

#include <stdatomic.h>

typedef void (*shk_worker)(void *arg, unsigned worker, unsigned workers);

struct shk_team {
    unsigned workers; // at most this many
    unsigned spin;    // polls at a barrier before a worker sleeps
    // Calls work(arg, i, n) once for every i < n <= workers, at the same time, and returns when all are done.
    void (*run)(const struct shk_team *, shk_worker work, void *arg);
};

struct shk_barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint phase; // also the futex word
};

// Returns when all `workers` have called it; what they wrote before is visible after. All zero is a barrier ready for
// use.
void shk_barrier_wait(struct shk_barrier *, unsigned workers, unsigned spin);

// The task counter of one phase: each call gives the next task.
struct shk_counter {
    _Alignas(64) atomic_uint next;
};
static inline unsigned shk_counter_take(struct shk_counter *c) {
    return atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
}
static inline void shk_counter_reset(struct shk_counter *c) {
    atomic_store_explicit(&c->next, 0, memory_order_relaxed);
}

#endif
