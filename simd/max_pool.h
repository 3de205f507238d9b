// SPDX-License-Identifier: MIT
// max_pool_forward takes the largest of each window of a map, and max_pool_backward lets its gradient go back to there.
//
//   forward, for y < out_h, x < out_w, c:
//       best = in[y*stride][x*stride][c], winner = 0
//       for a = 1 .. window^2 - 1, row-major: v = in[y*stride + a / window][x*stride + a % window][c]
//           if v > best, or v is NaN and best is not: best = v, winner = a
//       out[y][x][c] = best, winners[y][x][c] = winner
//   backward, for y, x, c, with a = winners[y][x][c]:
//       in[y*stride + a / window][x*stride + a % window][c] = that + out[y][x][c]
#ifndef SHK_SIMD_MAX_POOL_H
#define SHK_SIMD_MAX_POOL_H

#include "contract.h"

enum { SHK_MAX_WINDOW = 16 };

struct shk_max_pool {
    size_t w, c; // of the map [h][w][c] that is pooled; c: multiple of 16
    size_t out_h, out_w, window, stride;
    float *in;        // forward only reads it
    float *out;       // [out_h][out_w][c]; backward only reads it
    uint8_t *winners; // [out_h][out_w][c], alignment 16; forward: or NULL
};

#endif
