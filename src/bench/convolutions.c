// SPDX-License-Identifier: MIT
// These are convolutions of one sample, and the transformation of their weights.
#include "bench/cases.h"

#include <string.h>

struct convolution {
    size_t size, cin, cout;
};

// Random, with a border of zeros: [size+2][size+2][ld].
static float *bordered_map(struct shk_operands *o, size_t size, size_t ld) {
    const size_t row = (size + 2) * ld, map = (size + 2) * row;
    float *in = shk_operands_floats(o, map);
    if (!in) return NULL;
    memset(in, 0, row * sizeof *in);
    memset(in + map - row, 0, row * sizeof *in);
    for (size_t y = 1; y <= size; y++) {
        memset(in + y * row, 0, ld * sizeof *in);
        memset(in + (y + 1) * row - ld, 0, ld * sizeof *in);
    }
    return in;
}

// The border of an input gradient holds nothing specified.
static float *bordered_result(struct shk_operands *o, size_t size, size_t ld) {
    float *din = shk_operands_zeros(o, (size + 2) * (size + 2) * ld, sizeof *din);
    for (size_t y = 1; din && y <= size; y++)
        shk_operands_output(o, din + (y * (size + 2) + 1) * ld, size * ld * sizeof *din);
    return din;
}

static void add_gradients(struct shk_operands *o, struct shk_conv3x3 *c, size_t pooled) {
    c->dout = shk_operands_floats(o, pooled);
    if (c->in_ld >= 16) c->din = bordered_result(o, c->h, c->in_ld);
    c->dweight = shk_operands_result(o, c->cout * 9 * shk_round16(c->cin));
    c->dbias = shk_operands_result(o, c->cout);
}

static const void *convolution(struct shk_operands *o, const void *detail) {
    const struct convolution *d = detail;
    const size_t windows = d->size / 2, pooled = windows * windows * d->cout;
    struct shk_conv3x3 c = {.h = d->size, .w = d->size, .cin = d->cin, .cout = d->cout, .samples = 1};
    c.in_ld = d->cin <= 4 ? d->cin : shk_round16(d->cin);
    c.in = bordered_map(o, d->size, c.in_ld);
    c.panels = shk_operands_floats(o, 9 * d->cin * d->cout);
    c.taps = shk_operands_floats(o, d->cout * 9 * shk_round16(d->cin));
    c.winograd = shk_operands_floats(o, d->cout * SHK_WINOGRAD_POINTS * d->cin);
    c.bias = shk_operands_floats(o, d->cout);
    c.out = shk_operands_result(o, pooled);
    c.out_px = (ptrdiff_t)d->cout;
    c.out_row = (ptrdiff_t)(windows * d->cout);
    c.winners = shk_operands_output(o, shk_operands_zeros(o, pooled, 1), pooled);
    add_gradients(o, &c, pooled);
    c.scratch = shk_operands_zeros(o, 1, shk_conv3x3_scratch(c.h, c.w, c.in_ld));
    return shk_operands_keep(o, &c, sizeof c);
}

enum { WEIGHTS_CIN = 16 }; // and 16 output channels

static const void *weights(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_conv3x3_weights w = {WEIGHTS_CIN, WEIGHTS_CIN, shk_operands_floats(o, 16 * 9 * WEIGHTS_CIN),
                                          shk_operands_result(o, SHK_WINOGRAD_POINTS * WEIGHTS_CIN * 16)};
    return shk_operands_keep(o, &w, sizeof w);
}

enum { WINOGRAD_SAMPLES = 8 };

// Without a border: of residual nets.
static const void *winograd(struct shk_operands *o, const void *detail) {
    const struct convolution *d = detail;
    const size_t in = d->size * d->size * d->cin, out = d->size * d->size * d->cout;
    struct shk_winograd c = {.h = d->size, .w = d->size, .cin = d->cin, .cout = d->cout};
    c.samples = WINOGRAD_SAMPLES;
    c.in_sample = in;
    c.out_sample = out;
    c.in = shk_operands_floats(o, c.samples * in);
    c.dout = shk_operands_floats(o, c.samples * out);
    c.weights = shk_operands_floats(o, SHK_WINOGRAD_POINTS * d->cin * d->cout);
    c.out = shk_operands_result(o, c.samples * out);
    c.dweight = shk_operands_result(o, 9 * d->cin * d->cout);
    c.dout_ld = d->cout;
    c.run = shk_winograd_run(d->cin, d->cout);
    const size_t map = shk_winograd_scratch(d->cin), taps = shk_winograd_wgrad_scratch(d->cin, d->cout, c.run);
    c.scratch = shk_operands_zeros(o, 1, map > taps ? map : taps);
    return shk_operands_keep(o, &c, sizeof c);
}

static const void *flipped(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_winograd_flipped a = {.cin = WEIGHTS_CIN,
                                           .cout = 16,
                                           .taps = shk_operands_floats(o, 16 * 9 * WEIGHTS_CIN),
                                           .weights = shk_operands_result(o, SHK_WINOGRAD_POINTS * WEIGHTS_CIN * 16)};
    return shk_operands_keep(o, &a, sizeof a);
}

// FLOPs are those of a dense convolution.
#define CONVOLUTION(name, first, shape_, size, cin, cout)                                                              \
    {                                                                                                                  \
        .kernel = name, .before = first, .shape = shape_, .flops = 2.0 * 9 * (size) * (size) * (cin) * (cout),         \
        .prepare = convolution, .detail = &(const struct convolution){size, cin, cout},                                \
    }

#define WINOGRAD(name, shape_, size, channels)                                                                         \
    {                                                                                                                  \
        .kernel = name, .shape = shape_,                                                                               \
        .flops = 2.0 * 9 * WINOGRAD_SAMPLES * (size) * (size) * (channels) * (channels), .prepare = winograd,          \
        .detail = &(const struct convolution){size, channels, channels},                                               \
    }

static const struct kernel_case cases[] = {
    CONVOLUTION(KERNEL_conv3x3_forward, NO_KERNEL, "cnn-conv1", 32, 1, 16),
    CONVOLUTION(KERNEL_conv3x3_forward, NO_KERNEL, "cnn-conv2", 16, 16, 32),
    CONVOLUTION(KERNEL_conv3x3_dgrad, KERNEL_conv3x3_forward, "cnn-conv2", 16, 16, 32),
    CONVOLUTION(KERNEL_conv3x3_wgrad, KERNEL_conv3x3_forward, "cnn-conv1", 32, 1, 16),
    CONVOLUTION(KERNEL_conv3x3_wgrad, KERNEL_conv3x3_forward, "cnn-conv2", 16, 16, 32),
    {.kernel = KERNEL_conv3x3_weights,
     .shape = "cnn-conv2",
     .bytes = sizeof(float) * (9 + SHK_WINOGRAD_POINTS) * WEIGHTS_CIN * 16,
     .prepare = weights},
    WINOGRAD(KERNEL_winograd, "32x32x16", 32, 16),
    WINOGRAD(KERNEL_winograd, "16x16x32", 16, 32),
    WINOGRAD(KERNEL_winograd, "8x8x64", 8, 64),
    WINOGRAD(KERNEL_winograd_wgrad, "32x32x16", 32, 16),
    WINOGRAD(KERNEL_winograd_wgrad, "16x16x32", 16, 32),
    WINOGRAD(KERNEL_winograd_wgrad, "8x8x64", 8, 64),
    {.kernel = KERNEL_winograd_flipped,
     .shape = "16x16",
     .bytes = sizeof(float) * (9 + SHK_WINOGRAD_POINTS) * WEIGHTS_CIN * 16,
     .prepare = flipped},
};
const struct kernel_cases shk_cases_of_convolutions = KERNEL_CASES(cases);
