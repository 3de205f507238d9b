// SPDX-License-Identifier: MIT
// transpose exchanges rows and columns of 16x16 blocks.
//
//   for b < blocks, i < 16, j < 16:
//       dst[b*dst_block + i*dst_row + j] = src[b*src_block + j*src_row + i]
#ifndef SHK_SIMD_TRANSPOSE_H
#define SHK_SIMD_TRANSPOSE_H

#include "contract.h"

struct shk_transpose {
    size_t blocks;
    const float *src;
    ptrdiff_t src_row, src_block;
    float *dst;
    ptrdiff_t dst_row, dst_block;
};

#endif
