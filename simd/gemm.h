// SPDX-License-Identifier: MIT
// gemm multiplies matrices, C = A B, and takes the sums on to what a layer makes of them.
//
//   C(i, 16p+j) = c[p*c_panel + i*c_row + j], of addend likewise
//   B(l, 16p+j) = b[p*b_panel + l*b_row + j]
//   A(i, l)     = a[i*a_row + l*a_col]               every transposition that training needs is a choice of strides
//
//   for i < m, j < n:
//       x = accumulate ? C(i, j) : bias ? bias[j] : 0
//       for l < k: x = fma(A(i, l), B(l, j), x)
//       if relu:       x = vf_max(0, x)               which lets NaN and -0 through
//       if keep:       x = bit j%16 of keep[i*keep_row + j/16] ? x*scale : 0
//                                                     dropout, and the gradient of a ReLU and dropout
//       if alive:      bit j%16 of alive[i*keep_row + j/16] = x > 0
//       if factor:     x = x * factor[i*factor_row + j]
//       if row_factor: x = x * row_factor[i]
//       if addend:     x = addend(i, j) + x
//       C(i, j) = x
//   if sums, for j < n:
//       for l < k: sums[j] = sums[j] + B(l, j)        the gradient of a bias
#ifndef SHK_SIMD_GEMM_H
#define SHK_SIMD_GEMM_H

#include "contract.h"

struct shk_gemm {
    size_t m, n, k;         // >= 1; n: multiple of 16; m, k: any
    const float *a;         // alignment: any
    ptrdiff_t a_row, a_col; // any
    const float *b;
    ptrdiff_t b_row, b_panel;
    float *c;
    ptrdiff_t c_row, c_panel;
    const float *bias; // [n] or NULL; not with accumulate
    bool accumulate;
    bool relu;
    const uint16_t *keep; // [m][n/16] or NULL
    float scale;
    uint16_t *alive;     // [m][n/16] or NULL; may be keep
    ptrdiff_t keep_row;  // of keep and alive, any
    const float *factor; // [m][n], may be c; or NULL
    ptrdiff_t factor_row;
    const float *row_factor; // [m], alignment: any, or NULL
    const float *addend;     // laid out as C, with strides of its own; may be c; or NULL
    ptrdiff_t addend_row, addend_panel;
    float *sums; // [n] or NULL
};

#endif
