// SPDX-License-Identifier: MIT
// Activations of sixteen values and their derivatives are here, for the kernels of their own and those that end in one.
// What is not asked for of a result is not computed.
#ifndef SHK_SIMD_VEC16_ACTIVATIONS_H
#define SHK_SIMD_VEC16_ACTIVATIONS_H

#include "vec16_math.h"

struct shk_activated {
    vf y, derivative;
};

// hardswish.h
SHK_INLINE struct shk_activated shk_hardswish16(vf x) {
    const vf one = vf_set1(1), half = vf_set1(0.5f), sixth = vf_set1(1.0f / 6), third = vf_set1(1.0f / 3);
    const vf g = vf_min(one, vf_max(vf_zero(), vf_fma(x, sixth, half)));
    const vm between = vm_and(vf_gt(g, vf_zero()), vf_lt(g, one));
    return (struct shk_activated){vf_mul(x, g), vf_select(between, vf_fma(x, third, half), g)};
}

// silu.h
SHK_INLINE struct shk_activated shk_silu16(vf x) {
    const vf one = vf_set1(1.0f), s = vf_div(one, vf_add(one, vf_exp(vf_neg(x))));
    return (struct shk_activated){vf_mul(x, s), vf_mul(s, vf_fma(x, vf_sub(one, s), one))};
}

#endif
