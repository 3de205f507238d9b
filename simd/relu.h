// SPDX-License-Identifier: MIT
// relu_forward is a ReLU; relu_backward the gradient of one alone (scale 1), or of one with dropout behind it, whose outputs
// are 0 where dropped.
//
//   forward, for i < n:  y[i] = vf_max(0, x[i])               which lets NaN and -0 through
//   backward, for i < n: dx[i] = y[i] > 0 ? dy[i] * scale : 0
#ifndef SHK_SIMD_RELU_H
#define SHK_SIMD_RELU_H

#include "contract.h"

struct shk_relu_forward {
    size_t n; // multiple of 16
    const float *x;
    float *y; // may be x
};
struct shk_relu_backward {
    size_t n; // multiple of 16
    const float *y, *dy;
    float *dx; // may be dy
    float scale;
};

#endif
