// SPDX-License-Identifier: MIT
// square_sum adds up squares, by which gradients are clipped.
//
//   *sum = fold of the chains fma(x[i], x[i], sum), i < n
//   *finite = false where an x[i] is not finite (the sum may overflow without that); it is never set to true
#ifndef SHK_SIMD_SQUARE_SUM_H
#define SHK_SIMD_SQUARE_SUM_H

#include "contract.h"

struct shk_square_sum {
    size_t n; // multiple of 16
    const float *x;
    float *sum;
    bool *finite;
};

#endif
