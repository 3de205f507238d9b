// SPDX-License-Identifier: MIT
// scale_forward multiplies each channel of a map by a factor of its own; scale_backward takes the gradient to both.
//
//   forward, for r < rows, c:   y[r][c] = x[r][c] * factor[c]
//   backward, for r, c:         dx[r][c] = accumulate ? fma(dy[r][c], factor[c], dx[r][c]) : dy[r][c] * factor[c]
//             for c:            s = 0; for r: s = fma(dy[r][c], x[r][c], s); dfactor[c] = s
#ifndef SHK_SIMD_SCALE_H
#define SHK_SIMD_SCALE_H

#include "contract.h"

struct shk_scale {
    size_t rows, cols; // cols: multiple of 16, as the stride of rows
    const float *x, *factor;
    float *y;        // forward
    const float *dy; // backward, as what follows
    float *dx, *dfactor;
    bool accumulate;
};

#endif
