// SPDX-License-Identifier: MIT
// concat lays the columns of a matrix among those of a wider one, or takes them out again.
//
//   for r < rows, c < cols: y[r][c] = accumulate ? y[r][c] + x[r][c] : x[r][c]
#ifndef SHK_SIMD_CONCAT_H
#define SHK_SIMD_CONCAT_H

#include "contract.h"

struct shk_concat {
    size_t rows, cols; // cols: any
    const float *x;    // any alignment
    size_t x_row;      // any
    float *y;          // any alignment
    size_t y_row;      // any
    bool accumulate;
};

#endif
