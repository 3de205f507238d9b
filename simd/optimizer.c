// SPDX-License-Identifier: MIT
// Adam, with the sum over gradient buffers that precedes it; and the sum of squares by which gradients are clipped.
#include "adam.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

// Vectors whose sources are summed together, so that each source is read in runs of several cache lines.
#if defined(SHK_ISA_AVX512)
enum { RUN = 8 };
#else
enum { RUN = 4 };
#endif

static inline vf update(const struct shk_adam *args, const struct adam *k, size_t i, vf g, vf check) {
    vf m;
    const vf v = adam_moments(args, k, i, g, &m);
    adam_step(args, k, i, m, vf_sqrt(v));
    return adam_check(v, check);
}

// The sums of `count` vectors of `sources` buffers.
static inline void add_up(const struct shk_adam *args, const float *source, size_t sources, const size_t count,
                          vf *sum) {
    for (size_t j = 0; j < count; j++) sum[j] = vf_load(source + j * 16);
    for (size_t s = 1; s < sources; s++) {
        source += args->stride;
        for (size_t j = 0; j < count; j++) {
            sum[j] = vf_add(sum[j], vf_load(source + j * 16));
            __builtin_prefetch(source + (count + j) * 16, 0, 2);
        }
    }
}

// The gradients of `count` vectors from i on.
static inline void gradients_at(const struct shk_adam *args, size_t i, const size_t count, vf *g) {
    const size_t sources = args->sources, group = args->group;
    const float *source = args->gradients + i;
    add_up(args, source, sources < group ? sources : group, count, g);
    for (size_t s = group; s < sources; s += group) {
        vf sum[RUN];
        add_up(args, source + s * args->stride, sources - s < group ? sources - s : group, count, sum);
        for (size_t j = 0; j < count; j++) g[j] = vf_add(g[j], sum[j]);
    }
}

void SHK_KERNEL(adam)(const struct shk_adam *args) {
    const struct adam k = adam_of(args);
    vf g[RUN], check = vf_zero();
    size_t i = 0;
    for (; i + RUN * 16 <= args->n; i += RUN * 16) {
        gradients_at(args, i, RUN, g);
        for (size_t j = 0; j < RUN; j++) check = update(args, &k, i + j * 16, g[j], check);
    }
    for (; i < args->n; i += 16) {
        gradients_at(args, i, 1, g);
        check = update(args, &k, i, g[0], check);
    }
    adam_report(args, check);
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
