// SPDX-License-Identifier: MIT
// Adam's update of 16 weights, for the kernels that end in it.
#ifndef SHK_SIMD_ADAM_H
#define SHK_SIMD_ADAM_H

#include "kernels.h"
#include "vec16.h"

// The constants of one call, in all lanes.
struct adam {
    vf beta1, one_minus_beta1, beta2, one_minus_beta2, eps, step_size, inv_sqrt_bc2, scale, tiny;
};

SHK_INLINE struct adam adam_of(const struct shk_adam *args) {
    return (struct adam){
        .beta1 = vf_set1(args->beta1),
        .one_minus_beta1 = vf_set1(args->one_minus_beta1),
        .beta2 = vf_set1(args->beta2),
        .one_minus_beta2 = vf_set1(args->one_minus_beta2),
        .eps = vf_set1(args->eps),
        .step_size = vf_set1(args->step_size),
        .inv_sqrt_bc2 = vf_set1(args->inv_sqrt_bc2),
        .scale = vf_set1(args->scale),
        .tiny = vf_set1(0x1p-100f),
    };
}

// The first half of an update of the weights at i with gradients g: returns v, and m.
SHK_INLINE vf adam_moments(const struct shk_adam *args, const struct adam *k, size_t i, vf g, vf *moment) {
    g = vf_mul(g, k->scale);
    vf m = vf_fma(k->beta1, vf_load(args->m + i), vf_mul(k->one_minus_beta1, g));
    vf v = vf_fma(k->beta2, vf_load(args->v + i), vf_mul(vf_mul(k->one_minus_beta2, g), g));
    // Written so that NaN is kept.
    m = vf_select(vf_lt(vf_abs(m), k->tiny), vf_zero(), m);
    v = vf_select(vf_lt(v, k->tiny), vf_zero(), v);
    vf_store(args->m + i, m);
    vf_store(args->v + i, v);
    *moment = m;
    return v;
}

// The second: root is the square root of v.
SHK_INLINE void adam_step(const struct shk_adam *args, const struct adam *k, size_t i, vf m, vf root) {
    const vf denominator = vf_fma(root, k->inv_sqrt_bc2, k->eps);
    vf_store(args->w + i, vf_fnma(k->step_size, vf_div(m, denominator), vf_load(args->w + i)));
}

// check: 0 as long as every v is finite, else NaN.
SHK_INLINE vf adam_check(vf v, vf check) { return vf_add(check, vf_sub(v, v)); }
SHK_INLINE void adam_report(const struct shk_adam *args, vf check) {
    if (vm_bits(vf_eq(check, vf_zero())) != 0xffff) *args->finite = false;
}

#endif
