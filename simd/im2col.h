// SPDX-License-Identifier: MIT
// im2col lays what the taps of a convolution see in rows, one for each output (Chellapilla et al. 2006), so that a product with
// the weights is the convolution; col2im adds rows of gradients back to where their inputs came from.
//
//   outputs first .. first + rows - 1 of a map of out_w columns, row-major; for r < rows: y, x = those of output first + r
//   t in 0..kernel^2-1: ky = t / kernel, kx = t % kernel
//   im2col, for r, t, ci < c:
//       cols[r][t*c + ci] = in[y*stride + ky - pad][x*stride + kx - pad][ci], or 0 outside of the map
//   col2im, for r, t, ci < c, where inside of the map:
//       in[y*stride + ky - pad][x*stride + kx - pad][ci] = that + cols[r][t*c + ci]
#ifndef SHK_SIMD_IM2COL_H
#define SHK_SIMD_IM2COL_H

#include "contract.h"

struct shk_im2col {
    size_t h, w, c; // c: floats of a pixel, any; for col2im a multiple of 16
    size_t kernel, stride, pad, out_w;
    size_t first, rows;
    float *map;  // [h][w][c], alignment any where c is; im2col only reads it
    float *cols; // [rows][kernel^2 * c]; col2im only reads it
};

#endif
