// SPDX-License-Identifier: MIT
#include "base/team.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

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

void shk_barrier_wait(struct shk_barrier *b, unsigned workers, unsigned spin) {
    unsigned phase = atomic_load_explicit(&b->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == workers) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->phase, phase + 1, memory_order_release);
        if (workers > 1) futex(&b->phase, FUTEX_WAKE, INT_MAX);
        return;
    }
    for (unsigned i = 0; i < spin; i++) {
        if (atomic_load_explicit(&b->phase, memory_order_acquire) != phase) return;
        pause_cpu();
    }
    while (atomic_load_explicit(&b->phase, memory_order_acquire) == phase) futex(&b->phase, FUTEX_WAIT, phase);
}
