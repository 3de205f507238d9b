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
//       z = fma(x[r][c] - mean[c], scale[c], shift[c]), + residual[r][c] if there is one
//       y[r][c] = relu: vf_max(0, z); hardswish, silu: as those kernels make y of z; else z
//   sums, with z = fma(x[r][c] - mean[c], scale[c], shift[c]), and g of dy = dy[r][c]:
//       out: out[r][c] > 0 ? dy : 0, which is left in masked[r][c]
//       relu: z > 0 ? dy : 0; hardswish, silu: dy * the derivative that those kernels make of z; else dy
//       dshift[c] = sum of g
//       dscale[c] = sum of g * (x[r][c] - mean[c]), as fma(g, d, sum)
//       other[r][c] = g, or accumulate: other[r][c] + g
//   backward, for r, with g as in sums without out:
//       dx[r][c] = scale[c] * fnma(x[r][c] - mean[c], slope[c], g - level[c])
//       accumulate ? dx[r][c] = that + dx[r][c]
#ifndef SHK_SIMD_BATCH_NORM_H
#define SHK_SIMD_BATCH_NORM_H

#include "contract.h"

// What is behind the normalisation, or behind its sum with the residual.
enum shk_norm_activation { SHK_NORM_ALONE, SHK_NORM_RELU, SHK_NORM_HARDSWISH, SHK_NORM_SILU };

struct shk_batch_norm {
    size_t rows, cols; // rows >= 1; cols: multiple of 16, as the stride of rows
    const float *x;
    const float *mean, *scale, *shift;   // [cols]; sums and backward have shift, sums scale with an activation alone
    enum shk_norm_activation activation; // sums and backward: not that behind a sum
    const float *residual;               // forward: [rows][cols] or NULL
    float *y;                            // forward, may be x
    float *own_mean, *own_m2;            // [cols], of statistics
    const float *dy;                     // sums, backward
    const float *out;                    // sums: the values behind a sum's ReLU, or NULL; then there is no activation
    float *masked;                       // sums with out; may be dy
    float *other;                        // sums: NULL, or of the sum's other value, and there is no activation
    float *dshift, *dscale;              // [cols], of sums
    const float *level, *slope;          // [cols], backward
    float *dx;                           // backward; may be dy
    bool accumulate;                     // sums: to other; backward: to dx
};

#endif
