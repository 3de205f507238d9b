// SPDX-License-Identifier: MIT
// cross_entropy takes the softmax cross-entropy of logits, and its gradient.
//
//   for r < rows:
//       m = max over c < classes of z[r][c]
//       e[c] = exp(z[r][c] - m); s = fold(e)
//       loss[r] = log(s) - (z[r][label] - m)
//       predicted[r] = the first c where z[r][c] == m; 0 if all are NaN
//       if dlogits: dlogits[r][c] = (e[c] / s - (c == label ? 1 : 0)) * scale       pad columns: 0
#ifndef SHK_SIMD_CROSS_ENTROPY_H
#define SHK_SIMD_CROSS_ENTROPY_H

#include "contract.h"

struct shk_cross_entropy {
    size_t rows, classes; // classes: any
    const float *logits;
    ptrdiff_t row; // of logits and dlogits
    const uint32_t *labels;
    float scale;
    float *dlogits;      // NULL, or may be logits
    float *loss;         // [rows], alignment: any
    uint32_t *predicted; // [rows]
};

#endif
