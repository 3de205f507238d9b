// SPDX-License-Identifier: MIT
// avg_pool_forward takes the mean of each window of a map, in which what lies beside the map counts as zeros, and
// avg_pool_backward gives each pixel its share of the gradients.
//
//   Position a of the window of output (y, x) is pixel (y*stride + a / window - pad, x*stride + a % window - pad), if the map
//   has that.
//   share = 1 / window^2
//   forward, for y < out_h, x < out_w, c:
//       s = 0; for the positions in ascending order: s = s + in[their pixel][c]
//       out[y][x][c] = s * share
//   backward, for y, x, the positions, c, in this order:
//       in[their pixel][c] = fma(out[y][x][c], share, that)
#ifndef SHK_SIMD_AVG_POOL_H
#define SHK_SIMD_AVG_POOL_H

#include "contract.h"

struct shk_avg_pool {
    size_t h, w, c; // of the map [h][w][c] that is pooled; c: multiple of 16
    size_t out_h, out_w, window, stride;
    size_t pad; // less than window; no window lies beside the map
    float *in;  // forward only reads it
    float *out; // [out_h][out_w][c]; backward only reads it
};

#endif
