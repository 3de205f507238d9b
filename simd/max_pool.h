// SPDX-License-Identifier: MIT
// max_pool_forward takes the largest of each window of a map, and max_pool_backward lets its gradient go back to there.
//
//   Position a of the window of output (y, x) is pixel (y*stride + a / window - pad, x*stride + a % window - pad), if the map
//   has that.
//   forward, for y < out_h, x < out_w, c:
//       best, winner = value and number of the first position
//       for the others a, in ascending order: v = in[their pixel][c]
//           if v > best, or v is NaN and best is not: best = v, winner = a
//       out[y][x][c] = best, winners[y][x][c] = winner
//   backward, for y, x, c, with a = winners[y][x][c]:
//       in[pixel of a][c] = that + out[y][x][c]
#ifndef SHK_SIMD_MAX_POOL_H
#define SHK_SIMD_MAX_POOL_H

#include "contract.h"

enum { SHK_MAX_WINDOW = 16 };

struct shk_max_pool {
    size_t h, w, c; // of the map [h][w][c] that is pooled; c: multiple of 16
    size_t out_h, out_w, window, stride;
    size_t pad;       // less than window; no window lies beside the map
    float *in;        // forward only reads it
    float *out;       // [out_h][out_w][c]; backward only reads it
    uint8_t *winners; // [out_h][out_w][c], alignment 16; forward: or NULL
};

#endif
