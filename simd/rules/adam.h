// SPDX-License-Identifier: MIT
// Adam (Kingma and Ba 2015), as PyTorch computes it, is an update rule (rules.h): per weight
//   m = beta1*m + (1-beta1)*g                  as fma(beta1, m, (1-beta1)*g)
//   v = beta2*v + (1-beta2)*g*g                as fma(beta2, v, ((1-beta2)*g)*g)
//   |m| or v below 2^-100 becomes 0            so that idle moments never turn denormal
//   w = w - step_size * (m / (sqrt(v)*inv_sqrt_bc2 + eps))
//                                              as fnma(step_size, m / fma(sqrt(v), inv_sqrt_bc2, eps), w)
// Its moments are m and v. It reports where a v is not finite: where g is not, or its square is too large.
#ifndef SHK_SIMD_RULES_ADAM_H
#define SHK_SIMD_RULES_ADAM_H

struct shk_adam_options {
    double lr, beta1, beta2, eps;
};

enum { shk_adam_moments = 2 };

// The constants of a step.
struct shk_adam {
    float beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
    float step_size;    // lr / (1 - beta1^t)
    float inv_sqrt_bc2; // 1 / sqrt(1 - beta2^t)
};

// Those of step t, from 1 on.
static inline struct shk_adam shk_adam_at(const struct shk_adam_options *o, size_t t) {
    struct shk_adam step;
    step.beta1 = (float)o->beta1;
    step.one_minus_beta1 = (float)(1 - o->beta1);
    step.beta2 = (float)o->beta2;
    step.one_minus_beta2 = (float)(1 - o->beta2);
    step.eps = (float)o->eps;
    step.step_size = (float)(o->lr / (1 - shk_power(o->beta1, t)));
    step.inv_sqrt_bc2 = (float)(1 / __builtin_sqrt(1 - shk_power(o->beta2, t)));
    return step;
}

#ifdef SHK_SIMD_VEC16_H // in a kernel

// The constants in all lanes.
struct adam {
    vf beta1, one_minus_beta1, beta2, one_minus_beta2, eps, step_size, inv_sqrt_bc2, tiny;
};

SHK_INLINE struct adam adam_of(const struct shk_adam *step) {
    return (struct adam){
        .beta1 = vf_set1(step->beta1),
        .one_minus_beta1 = vf_set1(step->one_minus_beta1),
        .beta2 = vf_set1(step->beta2),
        .one_minus_beta2 = vf_set1(step->one_minus_beta2),
        .eps = vf_set1(step->eps),
        .step_size = vf_set1(step->step_size),
        .inv_sqrt_bc2 = vf_set1(step->inv_sqrt_bc2),
        .tiny = vf_set1(0x1p-100f),
    };
}

// The weights i .. i + 15, with gradients g. Returns `check` + 0, or NaN where a v is not finite.
SHK_INLINE vf adam_update(const struct adam *k, float *w, float *const *moments, size_t i, vf g, vf check) {
    vf m = vf_fma(k->beta1, vf_load(moments[0] + i), vf_mul(k->one_minus_beta1, g));
    vf v = vf_fma(k->beta2, vf_load(moments[1] + i), vf_mul(vf_mul(k->one_minus_beta2, g), g));
    // Written so that NaN is kept.
    m = vf_select(vf_lt(vf_abs(m), k->tiny), vf_zero(), m);
    v = vf_select(vf_lt(v, k->tiny), vf_zero(), v);
    vf_store(moments[0] + i, m);
    vf_store(moments[1] + i, v);
    const vf denominator = vf_fma(vf_sqrt(v), k->inv_sqrt_bc2, k->eps);
    vf_store(w + i, vf_fnma(k->step_size, vf_div(m, denominator), vf_load(w + i)));
    return vf_add(check, vf_sub(v, v));
}

#endif
#endif
