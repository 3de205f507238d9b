// SPDX-License-Identifier: MIT
// gelu_forward is GELU (Hendrycks and Gimpel 2016) in its erf form, with its derivative.
//
//   for i < n: y[i] = x*Phi(x), derivative[i] = Phi(x) + x*phi(x), with x = x[i]    errors: vec16_gelu.h
#ifndef SHK_SIMD_GELU_H
#define SHK_SIMD_GELU_H

#include "contract.h"

struct shk_gelu {
    size_t n; // multiple of 16
    const float *x;
    float *y, *derivative; // y may be x; derivative may be NULL
};

#endif
