// SPDX-License-Identifier: MIT
// column_sum adds up the rows of a matrix.
//
//   for c < cols:
//       s = start ? start[c] : 0
//       in_blocks, for each 16 rows, of which the last may be fewer:
//           t = 0; for these r: t = t + x[r*row + c]
//           s = s + t
//       else, for r < rows: s = s + x[r*row + c]
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
    // For sums of many rows that may be alike: each step of one long chain would be rounded the same way.
    bool in_blocks;
};

#endif
