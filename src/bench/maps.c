// SPDX-License-Identifier: MIT
// These lay maps in rows and back, pool them, and normalise them over the batch.
#include "bench/cases.h"

// A map of size x size pixels of c channels, and windows on it.
struct windows {
    size_t size, c, window, stride, pad;
};

static size_t outputs_of(const struct windows *d) { return (d->size + 2 * d->pad - d->window) / d->stride + 1; }

static const void *im2col(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t out = outputs_of(d), floats = out * out * d->window * d->window * d->c;
    struct shk_im2col a = {.h = d->size, .w = d->size, .c = d->c, .kernel = d->window, .stride = d->stride};
    a.pad = d->pad;
    a.out_w = out;
    a.rows = out * out;
    a.map = shk_operands_floats(o, d->size * d->size * d->c);
    a.cols = shk_operands_floats(o, floats);
    shk_operands_output(o, a.map, d->size * d->size * d->c * sizeof *a.map);
    shk_operands_output(o, a.cols, floats * sizeof *a.cols);
    return shk_operands_keep(o, &a, sizeof a);
}

static const void *max_pool(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t out = outputs_of(d), n = out * out * d->c;
    struct shk_max_pool p = {.h = d->size, .w = d->size, .c = d->c, .out_h = out, .out_w = out, .window = d->window};
    p.stride = d->stride;
    p.pad = d->pad;
    p.in = shk_operands_floats(o, d->size * d->size * d->c);
    p.out = shk_operands_floats(o, n);
    p.winners = shk_operands_output(o, shk_operands_zeros(o, n, 1), n);
    shk_operands_output(o, p.in, d->size * d->size * d->c * sizeof *p.in);
    shk_operands_output(o, p.out, n * sizeof *p.out);
    return shk_operands_keep(o, &p, sizeof p);
}

static const void *batch_norm(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t rows = d->size * d->size, n = rows * d->c;
    struct shk_batch_norm b = {.rows = rows, .cols = d->c, .activation = SHK_NORM_RELU};
    b.x = shk_operands_floats(o, n);
    b.mean = shk_operands_floats(o, d->c);
    b.scale = shk_operands_floats(o, d->c);
    b.shift = shk_operands_floats(o, d->c);
    b.level = shk_operands_floats(o, d->c);
    b.slope = shk_operands_floats(o, d->c);
    b.dy = shk_operands_floats(o, n);
    b.y = shk_operands_output(o, shk_operands_floats(o, n), n * sizeof *b.y);
    b.own_mean = shk_operands_result(o, d->c);
    b.own_m2 = shk_operands_result(o, d->c);
    b.dshift = shk_operands_result(o, d->c);
    b.dscale = shk_operands_result(o, d->c);
    b.dx = shk_operands_result(o, n);
    return shk_operands_keep(o, &b, sizeof b);
}

static const void *depthwise(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t out = outputs_of(d), map = d->size * d->size * d->c, n = out * out * d->c;
    struct shk_depthwise a = {.h = d->size, .w = d->size, .c = d->c, .kernel = d->window, .stride = d->stride};
    a.pad = d->pad;
    a.out_h = a.out_w = out;
    a.in = shk_operands_floats(o, map);
    a.weights = shk_operands_floats(o, d->window * d->window * d->c);
    a.dout = shk_operands_floats(o, n);
    a.out = shk_operands_result(o, n);
    a.din = shk_operands_result(o, map);
    a.dweights = shk_operands_floats(o, d->window * d->window * d->c);
    shk_operands_output(o, a.dweights, d->window * d->window * d->c * sizeof *a.dweights);
    return shk_operands_keep(o, &a, sizeof a);
}

static const void *scale(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t rows = d->size * d->size, n = rows * d->c;
    struct shk_scale a = {.rows = rows, .cols = d->c};
    a.x = shk_operands_floats(o, n);
    a.factor = shk_operands_floats(o, d->c);
    a.dy = shk_operands_floats(o, n);
    a.y = shk_operands_result(o, n);
    a.dx = shk_operands_result(o, n);
    a.dfactor = shk_operands_result(o, d->c);
    return shk_operands_keep(o, &a, sizeof a);
}

// A map among the channels of others, as many as are before it and behind it.
static const void *concat(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t rows = d->size * d->size, row = shk_round16(d->c), joined = 3 * row;
    struct shk_concat a = {.rows = rows, .cols = d->c, .x_row = row, .y_row = joined};
    a.x = shk_operands_floats(o, rows * row);
    a.y = (float *)shk_operands_result(o, rows * joined) + d->c;
    return shk_operands_keep(o, &a, sizeof a);
}

static const void *avg_pool(struct shk_operands *o, const void *detail) {
    const struct windows *d = detail;
    const size_t out = outputs_of(d), map = d->size * d->size * d->c, n = out * out * d->c;
    struct shk_avg_pool p = {.h = d->size, .w = d->size, .c = d->c, .out_h = out, .out_w = out, .window = d->window};
    p.stride = d->stride;
    p.pad = d->pad;
    p.in = shk_operands_output(o, shk_operands_floats(o, map), map * sizeof *p.in);
    p.out = shk_operands_output(o, shk_operands_floats(o, n), n * sizeof *p.out);
    return shk_operands_keep(o, &p, sizeof p);
}

#define MAP 16, 32
#define SCALE(name, passes)                                                                                            \
    {                                                                                                                  \
        .kernel = name, .shape = "16x16x32", .bytes = sizeof(float) * 32.0 * 16 * 16 * (passes), .prepare = scale,     \
        .detail = &(const struct windows){MAP, 1, 1, 0},                                                               \
    }
#define NORM(name, passes)                                                                                             \
    {                                                                                                                  \
        .kernel = name, .shape = "16x16x32", .bytes = sizeof(float) * 32.0 * 16 * 16 * (passes),                       \
        .prepare = batch_norm, .detail = &(const struct windows){MAP, 1, 1, 0},                                        \
    }
#define CONCAT(shape_, channels)                                                                                       \
    {                                                                                                                  \
        .kernel = KERNEL_concat, .shape = shape_, .bytes = sizeof(float) * 16 * 16 * 2.0 * (channels),                 \
        .prepare = concat, .detail = &(const struct windows){16, channels, 1, 1, 0},                                   \
    }
#define ROWS(name, shape_, prepare_, window, stride, pad, out)                                                         \
    {                                                                                                                  \
        .kernel = name, .shape = shape_,                                                                               \
        .bytes = sizeof(float) * 32.0 * (16 * 16 + (out) * (out) * (window) * (window)), .prepare = prepare_,          \
        .detail = &(const struct windows){MAP, window, stride, pad},                                                   \
    }

#define DEPTHWISE(name, shape_, window, stride, pad, out)                                                              \
    {                                                                                                                  \
        .kernel = name, .shape = shape_, .flops = 2.0 * 32 * (out) * (out) * (window) * (window),                      \
        .prepare = depthwise, .detail = &(const struct windows){MAP, window, stride, pad},                             \
    }

static const struct kernel_case cases[] = {
    DEPTHWISE(KERNEL_depthwise_forward, "3x3", 3, 1, 1, 16),
    DEPTHWISE(KERNEL_depthwise_forward, "5x5", 5, 1, 2, 16),
    DEPTHWISE(KERNEL_depthwise_forward, "3x3-stride2", 3, 2, 1, 8),
    DEPTHWISE(KERNEL_depthwise_dgrad, "3x3", 3, 1, 1, 16),
    DEPTHWISE(KERNEL_depthwise_dgrad, "3x3-stride2", 3, 2, 1, 8),
    DEPTHWISE(KERNEL_depthwise_wgrad, "3x3", 3, 1, 1, 16),
    DEPTHWISE(KERNEL_depthwise_wgrad, "5x5", 5, 1, 2, 16),
    ROWS(KERNEL_im2col, "3x3", im2col, 3, 1, 1, 16),
    ROWS(KERNEL_im2col, "3x3-stride2", im2col, 3, 2, 1, 8),
    ROWS(KERNEL_col2im, "3x3-stride2", im2col, 3, 2, 1, 8),
    ROWS(KERNEL_max_pool_forward, "3x3-stride2", max_pool, 3, 2, 0, 7),
    ROWS(KERNEL_avg_pool_forward, "2x2", avg_pool, 2, 2, 0, 8),
    ROWS(KERNEL_avg_pool_backward, "2x2", avg_pool, 2, 2, 0, 8),
    SCALE(KERNEL_scale_forward, 2),
    SCALE(KERNEL_scale_backward, 3),
    CONCAT("16x16x12", 12),
    CONCAT("16x16x32", 32),
    NORM(KERNEL_batch_norm_statistics, 1),
    NORM(KERNEL_batch_norm_forward, 2),
    NORM(KERNEL_batch_norm_sums, 3),
    NORM(KERNEL_batch_norm_backward, 4),
    {.kernel = KERNEL_max_pool_backward,
     .before = KERNEL_max_pool_forward,
     .shape = "3x3-stride2",
     .bytes = sizeof(float) * 32.0 * (16 * 16 + 7 * 7),
     .prepare = max_pool,
     .detail = &(const struct windows){MAP, 3, 2, 0}},
};
const struct kernel_cases shk_cases_of_maps = KERNEL_CASES(cases);
