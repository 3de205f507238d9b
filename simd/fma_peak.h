// SPDX-License-Identifier: MIT
// fma_peak does `iterations` rounds of independent chains of fused multiply-adds on registers: the arithmetic peak of
// one thread.
#ifndef SHK_SIMD_FMA_PEAK_H
#define SHK_SIMD_FMA_PEAK_H

#include "contract.h"

struct shk_fma_peak {
    size_t iterations;
    float *vector; // [16], below 1 in magnitude; overwritten
    double *flops; // how many operations that were
};

#endif
