// SPDX-License-Identifier: MIT
// fma_peak keeps the FMA units busy with registers alone.
#include "kernel.h"

// Chains in flight: enough for a latency of 4 cycles at two vectors a cycle, and no more than the registers hold.
#if defined(SHK_ISA_AVX512)
enum { CHAINS = 24 };
#else
enum { CHAINS = 6 };
#endif

void SHK_KERNEL(fma_peak)(const struct shk_fma_peak *p) {
    const vf x = vf_load(p->vector);
    vf acc[CHAINS];
    SHK_UNROLL
    for (int i = 0; i < CHAINS; i++) acc[i] = vf_set1((float)i);
    for (size_t n = 0; n < p->iterations; n++) {
        SHK_UNROLL
        for (int i = 0; i < CHAINS; i++) acc[i] = vf_fma(acc[i], x, x);
    }
    SHK_UNROLL
    for (int i = 1; i < CHAINS; i++) acc[0] = vf_add(acc[0], acc[i]);
    vf_store(p->vector, acc[0]);
    *p->flops = 2.0 * 16 * CHAINS * (double)p->iterations;
}
