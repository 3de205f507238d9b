// SPDX-License-Identifier: MIT
// sigmoid_forward is the logistic function, with its derivative.
//
//   for i < n: s = 1 / (1 + e^-x[i]); y[i] = s, derivative[i] = s * (1 - s); e^-x by vf_exp
//   Error below 2e-7; of the derivative below 2e-7.
#ifndef SHK_SIMD_SIGMOID_H
#define SHK_SIMD_SIGMOID_H

#include "contract.h"

struct shk_sigmoid {
    size_t n; // multiple of 16
    const float *x;
    float *y, *derivative; // y may be x; derivative may be NULL
};

#endif
