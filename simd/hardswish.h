// SPDX-License-Identifier: MIT
// hardswish_forward is Hardswish (Howard et al. 2019; SiLU with a sigmoid of straight pieces), with its derivative.
//
//   for i < n, x = x[i]:
//       g = vf_min(1, vf_max(0, fma(x, 1/6, 1/2))); y[i] = x*g
//       derivative[i] = g > 0 and g < 1 ? fma(x, 1/3, 1/2) : g
#ifndef SHK_SIMD_HARDSWISH_H
#define SHK_SIMD_HARDSWISH_H

#include "contract.h"

struct shk_hardswish {
    size_t n; // multiple of 16
    const float *x;
    float *y, *derivative; // y may be x; derivative may be NULL
};

#endif
