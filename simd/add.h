// SPDX-License-Identifier: MIT
// add adds one matrix to another.
//
//   for r < rows, c < cols: y[r][c] = y[r][c] + x[r][c]
#ifndef SHK_SIMD_ADD_H
#define SHK_SIMD_ADD_H

#include "contract.h"

struct shk_add {
    size_t rows, cols; // cols: multiple of 16
    const float *x;
    ptrdiff_t x_row;
    float *y;
    ptrdiff_t y_row;
};

#endif
