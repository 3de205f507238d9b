// SPDX-License-Identifier: MIT
// Update rules are what a gradient does to a weight. Each is a file in rules/, listed in rules.def, with
//   struct shk_NAME            the constants of a step
//   shk_NAME_moments           how many moments it keeps
//   struct NAME, NAME_of       the constants in lanes
//   NAME_update                sixteen weights with their gradients
// Every kernel that ends in an update takes any of them.
#ifndef SHK_SIMD_RULES_H
#define SHK_SIMD_RULES_H

#include <stdbool.h>
#include <stddef.h>

// base^n by squaring: a function of its arguments alone, unlike libm's pow.
static inline double shk_power(double base, size_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

#define RULE(name, kind)
#include "rules.def"
#undef RULE

enum shk_rule_kind {
#define RULE(name, kind) kind,
#include "rules.def"
#undef RULE
};

// A rule in one step, and the weights that it is about.
//   for each weight: update(kind's constants, w, moments, g * scale)
// finite is set to false, and never to true, where the rule reports it.
enum { SHK_MAX_MOMENTS = 2 };
struct shk_rule {
    enum shk_rule_kind kind;
    union {
#define RULE(name, kind) struct shk_##name name;
#include "rules.def"
#undef RULE
    };
    float scale;                         // of the gradients, 0 .. 1
    float *w, *moments[SHK_MAX_MOMENTS]; // those that the rule does not keep are not read
    bool *finite;
};

#ifdef SHK_SIMD_VEC16_H // in a kernel

// A rule's constants in all lanes.
struct rule {
    vf scale;
    union {
#define RULE(name, kind) struct name name;
#include "rules.def"
#undef RULE
    };
};

// `kind` is a constant at every call of these.
SHK_INLINE size_t rule_moments(const enum shk_rule_kind kind) {
    switch (kind) {
#define RULE(name, kind)                                                                                               \
    case kind:                                                                                                         \
        return shk_##name##_moments;
#include "rules.def"
#undef RULE
    default:
        return 0;
    }
}

SHK_INLINE struct rule rule_of(const enum shk_rule_kind kind, const struct shk_rule *r) {
    struct rule k = {.scale = vf_set1(r->scale)};
    switch (kind) {
#define RULE(name, kind)                                                                                               \
    case kind:                                                                                                         \
        k.name = name##_of(&r->name);                                                                                  \
        break;
#include "rules.def"
#undef RULE
    default:
        break;
    }
    return k;
}

// The weights i .. i + 15, with gradients g. Returns what is to be reported, and `check`: 0 or NaN.
SHK_INLINE vf rule_update(const enum shk_rule_kind kind, const struct shk_rule *r, const struct rule *k, size_t i, vf g,
                          vf check) {
    g = vf_mul(g, k->scale);
    switch (kind) {
#define RULE(name, kind)                                                                                               \
    case kind:                                                                                                         \
        return name##_update(&k->name, r->w, r->moments, i, g, check);
#include "rules.def"
#undef RULE
    default:
        return check;
    }
}

SHK_INLINE void rule_report(const struct shk_rule *r, vf check) {
    if (vm_bits(vf_eq(check, vf_zero())) != 0xffff) *r->finite = false;
}

#endif
#endif
