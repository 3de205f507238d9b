// SPDX-License-Identifier: MIT
// These work on weights and their gradients: updates, sums of squares, layouts, random numbers.
#include "bench/cases.h"

const struct shk_rule *shk_operands_adam(struct shk_operands *o, size_t n) {
    const struct shk_adam_options options = {1e-3, 0.9, 0.999, 1e-8};
    struct shk_rule rule = {.kind = SHK_ADAM, .adam = shk_adam_at(&options, 10), .scale = 1};
    rule.w = shk_operands_output(o, shk_operands_floats(o, n), n * sizeof(float));
    for (int i = 0; i < shk_adam_moments; i++) rule.moments[i] = shk_operands_result(o, n);
    rule.finite = shk_operands_zeros(o, 1, sizeof *rule.finite);
    return shk_operands_keep(o, &rule, sizeof rule);
}

struct update {
    size_t n, sources;
};

static const void *update(struct shk_operands *o, const void *detail) {
    const struct update *u = detail;
    struct shk_apply_rule a = {.n = u->n, .stride = u->n, .sources = u->sources, .group = 4};
    a.gradients = shk_operands_floats(o, u->n * u->sources);
    a.rule = shk_operands_adam(o, u->n);
    return shk_operands_keep(o, &a, sizeof a);
}

enum { SQUARES = 4096 }; // of the gradients, as a step that clips takes them

static const void *square_sum(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_square_sum s = {SQUARES, shk_operands_floats(o, SQUARES), shk_operands_result(o, 16),
                                     shk_operands_zeros(o, 1, sizeof *s.finite)};
    return shk_operands_keep(o, &s, sizeof s);
}

enum { BLOCKS = 8 }; // 128 rows of a panel, as an update task leaves them

static const void *transpose(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_transpose t = {
        BLOCKS, shk_operands_floats(o, BLOCKS * 256), 16, 256, shk_operands_result(o, BLOCKS * 128 * 16), 16, 128 * 16};
    return shk_operands_keep(o, &t, sizeof t);
}

enum { ROWS = 128, PANELS = 32 }; // a block of dY, as an update task reads it

static const void *pack(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_pack p = {.rows = ROWS,
                               .groups = PANELS,
                               .width = 16,
                               .src = shk_operands_floats(o, ROWS * PANELS * 16),
                               .src_row = PANELS * 16,
                               .dst = shk_operands_result(o, ROWS * PANELS * 16),
                               .dst_group = ROWS * 16};
    return shk_operands_keep(o, &p, sizeof p);
}

enum { DRAWN = 128 * 128 };

static const void *random_fill(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_random_fill r = {.n = DRAWN, .out = shk_operands_result(o, DRAWN), .hi = 1};
    return shk_operands_keep(o, &r, sizeof r);
}

#define FLOATS(n) (sizeof(float) * (double)(n))
#define UPDATE(shape_, n, sources)                                                                                     \
    {                                                                                                                  \
        .kernel = KERNEL_apply_rule, .shape = shape_, .bytes = FLOATS((n) * (6 + (sources))), .prepare = update,       \
        .detail = &(const struct update){n, sources},                                                                  \
    }

static const struct kernel_case cases[] = {
    UPDATE("adam-cnn-fc1-tile", 128 * 16, 1),
    UPDATE("adam-vit-shards", 64 * 16, 24),
    UPDATE("adam-vit-groups", 64 * 16, 6),
    {KERNEL_square_sum, NO_KERNEL, "block", 2.0 * SQUARES, FLOATS(SQUARES), square_sum, NULL},
    {KERNEL_transpose, NO_KERNEL, "cnn-fc1-tile", 0, FLOATS(2 * BLOCKS * 256), transpose, NULL},
    {KERNEL_pack, NO_KERNEL, "vit-hidden", 0, FLOATS(2 * ROWS * PANELS * 16), pack, NULL},
    {KERNEL_random_uniform, NO_KERNEL, "16384", 0, FLOATS(DRAWN), random_fill, NULL},
    {KERNEL_random_normal, NO_KERNEL, "16384", 0, FLOATS(DRAWN), random_fill, NULL},
};
const struct kernel_cases shk_cases_of_weights = KERNEL_CASES(cases);
