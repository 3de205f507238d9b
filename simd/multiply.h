// SPDX-License-Identifier: MIT
// multiply takes the products of elements.
//
//   for i < n: y[i] = a[i] * b[i]
#ifndef SHK_SIMD_MULTIPLY_H
#define SHK_SIMD_MULTIPLY_H

#include "contract.h"

struct shk_multiply {
    size_t n; // multiple of 16
    const float *a, *b;
    float *y; // may be a or b
};

#endif
