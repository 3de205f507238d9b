// SPDX-License-Identifier: MIT
// silu_forward is SiLU (Elfwing, Uchibe and Doya 2018; x times its sigmoid), with its derivative.
//
//   for i < n: s = 1 / (1 + e^-x); y[i] = x*s, derivative[i] = s * fma(x, 1 - s, 1), with x = x[i]; e^-x by vf_exp
//   Error below 4e-7 of max(1, |x|); of the derivative below 4e-7.
#ifndef SHK_SIMD_SILU_H
#define SHK_SIMD_SILU_H

#include "contract.h"

struct shk_silu {
    size_t n; // multiple of 16
    const float *x;
    float *y, *derivative; // y may be x; derivative may be NULL
};

#endif
