// SPDX-License-Identifier: MIT
// pack cuts the columns of a matrix into groups that lie together (of width 16: panels).
//
//   for g < groups, r < rows, j < width:
//       dst[g*dst_group + r*width + j] = src[r*src_row + g*width + j]
#ifndef SHK_SIMD_PACK_H
#define SHK_SIMD_PACK_H

#include "contract.h"

struct shk_pack {
    size_t rows, groups, width; // width: multiple of 16
    const float *src;
    ptrdiff_t src_row;
    float *dst;
    ptrdiff_t dst_group;
};

#endif
