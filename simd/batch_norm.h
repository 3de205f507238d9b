// SPDX-License-Identifier: MIT
// The batch_norm kernels are the parts of batch normalisation (Ioffe and Szegedy 2015) that one sample takes: its own statistics,
// which are combined with those of others elsewhere; its values, normalised; and likewise backward.
//
//   for c < cols, rows being a sample's pixels; sums over rows are four chains, row r in chain r % 4, added as
//   (s0 + s1) + (s2 + s3):
//   statistics:
//       mean[c] = (sum of x[r][c]) / rows
//       m2[c] = sum of (x[r][c] - mean[c])^2, as fma(d, d, sum)
//   forward, for r:
//       y[r][c] = fma(x[r][c] - mean[c], scale[c], shift[c]), + residual[r][c] if there is one, and if relu: vf_max(0, that)
//   sums, with g = relu and not fma(x[r][c] - mean[c], scale[c], shift[c]) > 0 ? 0 : dy[r][c]:
//       dshift[c] = sum of g
//       dscale[c] = sum of g * (x[r][c] - mean[c]), as fma(g, d, sum)
//   backward, for r:
//       dx[r][c] = scale[c] * fnma(x[r][c] - mean[c], slope[c], g - level[c])
//       accumulate ? dx[r][c] = that + dx[r][c]
#ifndef SHK_SIMD_BATCH_NORM_H
#define SHK_SIMD_BATCH_NORM_H

#include "contract.h"

struct shk_batch_norm {
    size_t rows, cols; // rows >= 1; cols: multiple of 16, as the stride of rows
    const float *x;
    const float *mean, *scale, *shift; // [cols]; behind the forward pass shift with relu alone
    const float *residual;             // forward: [rows][cols] or NULL; there is none where the others have relu
    bool relu;
    float *y;                   // forward, may be x
    float *own_mean, *own_m2;   // [cols], of statistics
    const float *dy;            // sums, backward
    float *dshift, *dscale;     // [cols], of sums
    const float *level, *slope; // [cols], backward
    float *dx;                  // backward; may be dy
    bool accumulate;
};

#endif
