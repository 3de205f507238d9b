// SPDX-License-Identifier: MIT
// dropout_mask draws which elements stay; dropout_forward and dropout_backward leave the others out.
//
// The draw of element e of a stream is 16 bits of Philox4x32 with 7 rounds (passes BigCrush, see random.h):
//   block = e/128 * 16 + e%16; word = e/32 % 4; half = e/16 % 2
//   draw(e) = word `word` of that block, its low 16 bits for half 0, its high ones for half 1
//   dropped(e) = draw(e) < threshold
//
//   mask, for i < n:
//       bit i%16 of mask[i/16] = !dropped(element + i)
//   forward, for r < rows, c < cols:
//       x = kept(r, c) ? x[r][c] * scale : 0
//       y[r][c] = (residual ? residual[r][c] : 0) + x
//   backward, for r < rows, c < cols:
//       dx[r][c] = kept(r, c) ? dy[r][c] * scale : 0
//   kept(r, c) = bit c%16 of mask[(r*cols + c) / 16]; without a mask all are
#ifndef SHK_SIMD_DROPOUT_H
#define SHK_SIMD_DROPOUT_H

#include "random.h"

struct shk_dropout_spec {
    uint32_t threshold; // round(p * 65536); 0: no dropout
    float scale;        // 65536 / (65536 - threshold)
    struct shk_stream stream;
};

struct shk_dropout_mask {
    size_t n;                     // multiple of 16
    uint16_t *mask;               // [n/16]
    struct shk_dropout_spec drop; // threshold > 0
    uint32_t element;             // multiple of 128
};

struct shk_dropout {
    size_t rows, cols;    // cols: multiple of 16
    const uint16_t *mask; // [rows*cols/16], or NULL: all stay
    float scale;
    const float *x;
    ptrdiff_t x_row;
    const float *residual; // or NULL
    ptrdiff_t residual_row;
    float *y; // may be x or residual
    ptrdiff_t y_row;
    const float *dy;
    ptrdiff_t dy_row;
    float *dx; // may be dy
    ptrdiff_t dx_row;
};

#endif
