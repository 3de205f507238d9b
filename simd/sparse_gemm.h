// SPDX-License-Identifier: MIT
// sparse_gemm multiplies matrices, C = A B, and leaves out the zeros of A, as those of a gradient behind a ReLU.
//
//   C(i, j) = c[i*c_row + j], B(l, j) = b[l*b_row + j], A(i, l) = a[i*a_row + l*a_col]
//
//   for i < m, j < n:
//       other = i ^ 1                                 rows 2r and 2r + 1 are a pair; the last one may have no other
//       x = accumulate ? C(i, j) : 0
//       for each block of SHK_SPARSE_DEPTH l, the last of which may be smaller:
//           for l in block, where A(i, l) != 0 and A(other, l) != 0: x = fma(A(i, l), B(l, j), x)
//           for l in block, where A(i, l) != 0 and A(other, l) == 0: x = fma(A(i, l), B(l, j), x)
//       if rule: the weight at i*c_row + j takes x (rules.h), C holds nothing specified
//       else:    C(i, j) = x
//   NaN is not 0.
#ifndef SHK_SIMD_SPARSE_GEMM_H
#define SHK_SIMD_SPARSE_GEMM_H

#include "rules.h"

enum { SHK_SPARSE_DEPTH = 64 };
struct shk_sparse_gemm {
    size_t m, n, k;         // >= 1; n: multiple of 16; m, k: any
    const float *a;         // alignment: any
    ptrdiff_t a_row, a_col; // any; one of them is 1
    const float *b;
    ptrdiff_t b_row;
    float *c;
    ptrdiff_t c_row;
    bool accumulate;
    const struct shk_rule *rule; // or NULL; w and moments are laid out as C
};

#endif
