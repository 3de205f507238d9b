// SPDX-License-Identifier: MIT
// column_sum adds up the rows of a matrix.
//
//   for c < cols:
//       s = start ? start[c] : 0
//       for r < rows: s = s + x[r*row + c]
//       sum[c] = relu ? vf_max(0, s) : s
#ifndef SHK_SIMD_COLUMN_SUM_H
#define SHK_SIMD_COLUMN_SUM_H

#include "contract.h"

struct shk_column_sum {
    size_t rows, cols; // cols: multiple of 16
    const float *x;
    ptrdiff_t row;
    const float *start; // [cols]; may be sum; or NULL
    float *sum;
    bool relu;
};

#endif
