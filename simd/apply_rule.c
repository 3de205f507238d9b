// SPDX-License-Identifier: MIT
// apply_rule adds up gradients in registers and goes on with the update there.
#include "kernel.h"

// Vectors whose sources are summed together, so that each source is read in runs of several cache lines.
#if defined(SHK_ISA_AVX512)
enum { RUN = 8 };
#else
enum { RUN = 4 };
#endif

// The sums of `count` vectors of `sources` buffers.
static inline void add_up(const struct shk_apply_rule *args, const float *source, size_t sources, const size_t count,
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
static inline void gradients_at(const struct shk_apply_rule *args, size_t i, const size_t count, vf *g) {
    const size_t sources = args->sources, group = args->group;
    const float *source = args->gradients + i;
    add_up(args, source, sources < group ? sources : group, count, g);
    for (size_t s = group; s < sources; s += group) {
        vf sum[RUN];
        add_up(args, source + s * args->stride, sources - s < group ? sources - s : group, count, sum);
        for (size_t j = 0; j < count; j++) g[j] = vf_add(g[j], sum[j]);
    }
}

SHK_INLINE void apply(const enum shk_rule_kind kind, const struct shk_apply_rule *args) {
    const struct rule k = rule_of(kind, args->rule);
    vf g[RUN], check = vf_zero();
    size_t i = 0;
    for (; i + RUN * 16 <= args->n; i += RUN * 16) {
        gradients_at(args, i, RUN, g);
        for (size_t j = 0; j < RUN; j++) check = rule_update(kind, args->rule, &k, i + j * 16, g[j], check);
    }
    for (; i < args->n; i += 16) {
        gradients_at(args, i, 1, g);
        check = rule_update(kind, args->rule, &k, i, g[0], check);
    }
    rule_report(args->rule, check);
}

void SHK_KERNEL(apply_rule)(const struct shk_apply_rule *args) {
    switch (args->rule->kind) {
#define RULE(name, kind)                                                                                               \
    case kind:                                                                                                         \
        apply(kind, args);                                                                                             \
        break;
#include "rules.def"
#undef RULE
    }
}
