// SPDX-License-Identifier: MIT
// The barrier is a counter of who has arrived, and a word that those who wait poll, and then sleep on.
#include "base/team.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

// In a barrier's phase word: the bit that somebody sleeps, and a meeting.
#define SLEEPERS 1u
#define NEXT 2u

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex(atomic_uint *word, int op, unsigned value) {
    // Spurious returns and EAGAIN are handled by the caller's loop.
    syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

// Sleeps until the phase is another one.
static void sleep_through(atomic_uint *word, unsigned phase) {
    const unsigned asleep = phase | SLEEPERS;
    atomic_compare_exchange_strong_explicit(word, &phase, asleep, memory_order_acquire, memory_order_acquire);
    while (atomic_load_explicit(word, memory_order_acquire) == asleep) futex(word, FUTEX_WAIT, asleep);
}

void shk_barrier_wait(struct shk_barrier *b, unsigned workers, unsigned spin) {
    unsigned phase = atomic_load_explicit(&b->phase, memory_order_relaxed) & ~SLEEPERS;
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == workers) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        unsigned before = atomic_exchange_explicit(&b->phase, phase + NEXT, memory_order_acq_rel);
        if (before & SLEEPERS) futex(&b->phase, FUTEX_WAKE, INT_MAX);
        return;
    }
    for (unsigned i = 0; i < spin; i++) {
        if ((atomic_load_explicit(&b->phase, memory_order_acquire) & ~SLEEPERS) != phase) return;
        pause_cpu();
    }
    sleep_through(&b->phase, phase);
}
