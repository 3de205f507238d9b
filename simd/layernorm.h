// SPDX-License-Identifier: MIT
// layernorm_forward and layernorm_backward normalise rows (Ba et al. 2016), and take the gradients back.
//
//   forward, for r < rows, c < cols:
//       mean = fold(x[r]) / cols
//       variance = fold of the chains fma(x - mean, x - mean, sum) / cols           biased
//       rstd = 1 / sqrt(variance + eps)
//       y[r][c] = fma((x[r][c] - mean) * rstd, gamma[c], beta[c])
//       if stats: stats[r] = mean, rstd
//       columns cols .. round16(cols) - 1 of y become 0
//   backward, for r < rows, c < cols:
//       mean, rstd = stats[r]; xhat = (x[r][c] - mean) * rstd; g = dy[r][c] * gamma[c]
//       a = fold(g) / cols
//       b = fold of the chains fma(g, xhat, sum) / cols
//       d = fnma(xhat, b, g - a) * rstd
//       dx[r][c] = accumulate ? dx[r][c] + d : d                                    pad columns: left, or 0
//       dgamma[c] = fma(dy[r][c], xhat, dgamma[c])                                  r ascending, from what was there
//       dbeta[c] = dbeta[c] + dy[r][c]
#ifndef SHK_SIMD_LAYERNORM_H
#define SHK_SIMD_LAYERNORM_H

#include "contract.h"

struct shk_layernorm {
    size_t rows, cols; // cols: any
    float eps;         // forward
    const float *x;
    ptrdiff_t x_row;
    const float *gamma, *beta; // [round16(cols)], pads 0
    float *y;                  // may be x
    ptrdiff_t y_row;
    float *stats;        // [rows], two each, alignment: any; or, forward, NULL
    ptrdiff_t stats_row; // any
    const float *dy;
    ptrdiff_t dy_row;
    float *dx; // may be dy
    ptrdiff_t dx_row;
    bool accumulate;
    float *dgamma, *dbeta; // [round16(cols)]; their pads are left
};

#endif
