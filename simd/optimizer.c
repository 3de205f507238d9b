// SPDX-License-Identifier: MIT
// Adam, with the sum over gradient buffers that precedes it; and the sum of squares by which gradients are clipped.
#include "kernels.h"
#include "vec16.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

// Vectors whose sources are summed together, so that each source is read in runs of several cache lines.
#if defined(SHK_ISA_AVX512)
enum { RUN = 8 };
#else
enum { RUN = 4 };
#endif

// The constants of one call, in all lanes.
struct adam {
    vf beta1, one_minus_beta1, beta2, one_minus_beta2, eps, step_size, inv_sqrt_bc2, scale, tiny;
};

// Returns v.
static inline vf adam_update(const struct shk_adam *args, const struct adam *k, size_t i, vf g) {
    g = vf_mul(g, k->scale);
    vf m = vf_fma(k->beta1, vf_load(args->m + i), vf_mul(k->one_minus_beta1, g));
    vf v = vf_fma(k->beta2, vf_load(args->v + i), vf_mul(vf_mul(k->one_minus_beta2, g), g));
    // Written so that NaN is kept.
    m = vf_select(vf_lt(vf_abs(m), k->tiny), vf_zero(), m);
    v = vf_select(vf_lt(v, k->tiny), vf_zero(), v);
    const vf denominator = vf_fma(vf_sqrt(v), k->inv_sqrt_bc2, k->eps);
    vf_store(args->w + i, vf_fnma(k->step_size, vf_div(m, denominator), vf_load(args->w + i)));
    vf_store(args->m + i, m);
    vf_store(args->v + i, v);
    return v;
}

void SHK_KERNEL(adam)(const struct shk_adam *args) {
    const struct adam k = {
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
    const float *gradients = args->gradients;
    vf check = vf_zero(); // 0 as long as every v is finite, else NaN
    size_t i = 0;
    for (; i + RUN * 16 <= args->n; i += RUN * 16) {
        vf g[RUN];
        for (size_t j = 0; j < RUN; j++) g[j] = vf_load(gradients + i + j * 16);
        for (size_t s = 1; s < args->sources; s++) {
            const float *source = gradients + s * args->stride + i;
            for (size_t j = 0; j < RUN; j++) g[j] = vf_add(g[j], vf_load(source + j * 16));
        }
        for (size_t j = 0; j < RUN; j++) check = vf_fma(adam_update(args, &k, i + j * 16, g[j]), vf_zero(), check);
    }
    for (; i < args->n; i += 16) {
        vf g = vf_load(gradients + i);
        for (size_t s = 1; s < args->sources; s++) g = vf_add(g, vf_load(gradients + s * args->stride + i));
        check = vf_fma(adam_update(args, &k, i, g), vf_zero(), check);
    }
    if (vm_bits(vf_eq(check, vf_zero())) != 0xffff) *args->finite = false;
}

void SHK_KERNEL(square_sum)(const struct shk_square_sum *args) {
    vf sum = vf_zero(), check = vf_zero();
    for (size_t i = 0; i < args->n; i += 16) {
        const vf x = vf_load(args->x + i);
        sum = vf_fma(x, x, sum);
        check = vf_fma(x, vf_zero(), check);
    }
    *args->sum = vf_sum(sum);
    if (vm_bits(vf_eq(check, vf_zero())) != 0xffff) *args->finite = false;
}
