// SPDX-License-Identifier: MIT
// These tests hold the parts of batch normalisation that one sample takes against plain C in double, and its bits on every
// instruction set against plain C.
#include "kernel_test.h"

// One sample; a share of its channels lies far from 0, where sums of squares would lose all digits.
struct sample {
    size_t rows, cols;
    float *x, *mean, *scale, *shift, *y, *dy, *level, *slope;
    enum shk_norm_activation activation;
};

static struct sample random_sample(int trial) {
    struct sample s = {.rows = 1 + kt_below(70), .cols = 16 * (1 + kt_below(4))};
    s.activation = (enum shk_norm_activation)(trial % 4);
    const size_t n = s.rows * s.cols;
    s.x = kt_random(n, -1, 1);
    s.mean = kt_random(s.cols, -0.5, 0.5);
    for (size_t i = 0; i < n; i++)
        if (i % s.cols % 5 == 0) s.x[i] += 1000;
    for (size_t c = 0; c < s.cols; c += 5) s.mean[c] += 1000;
    s.scale = kt_random(s.cols, -2, 2);
    s.shift = kt_random(s.cols, -1, 1);
    s.y = kt_random(n, -1, 1);
    s.dy = kt_random(n, -1, 1);
    s.level = kt_random(s.cols, -1, 1);
    s.slope = kt_random(s.cols, -1, 1);
    return s;
}

static void free_sample(struct sample *s) {
    float *all[] = {s->x, s->mean, s->scale, s->shift, s->y, s->dy, s->level, s->slope};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
}

static struct shk_batch_norm args_of(const struct sample *s) {
    return (struct shk_batch_norm){.rows = s->rows,
                                   .cols = s->cols,
                                   .x = s->x,
                                   .mean = s->mean,
                                   .scale = s->scale,
                                   .shift = s->shift,
                                   .activation = s->activation,
                                   .y = s->y,
                                   .dy = s->dy,
                                   .level = s->level,
                                   .slope = s->slope};
}

static void statistics_are_right(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        struct sample s = random_sample(trial);
        struct shk_batch_norm args = args_of(&s);
        float *mean = kt_floats(s.cols), *m2 = kt_floats(s.cols);
        double *means = calloc(s.cols, sizeof *means), *m2s = calloc(s.cols, sizeof *m2s), size[64];
        for (size_t i = 0; i < s.rows * s.cols; i++) means[i % s.cols] += (double)s.x[i] / (double)s.rows;
        for (size_t i = 0; i < s.rows * s.cols; i++) m2s[i % s.cols] += pow((double)s.x[i] - means[i % s.cols], 2);
        for (size_t c = 0; c < s.cols; c++) size[c] = fabs(means[c]) + 1;
        KT_FOR_ISAS(kernels) {
            args.own_mean = mean;
            args.own_m2 = m2;
            kernels->batch_norm_statistics(&args);
            kt_close("mean", kernels->isa, mean, means, size, s.cols, 0, 1e-6);
            for (size_t c = 0; c < s.cols; c++)
                size[c] = m2s[c] + (c % 5 ? 1e-3 : 0.1); // the mean's own rounding counts, too
            kt_close("m2", kernels->isa, m2, m2s, size, s.cols, 0, 1e-4);
            for (size_t c = 0; c < s.cols; c++) size[c] = fabs(means[c]) + 1;
        }
        float *first_mean = kt_copy(mean, s.cols), *first_m2 = kt_copy(m2, s.cols);
        KT_FOR_ISAS(kernels) {
            kernels->batch_norm_statistics(&args);
            kt_same_bits("mean", kernels->isa, mean, first_mean, s.cols, 0);
            kt_same_bits("m2", kernels->isa, m2, first_m2, s.cols, 0);
        }
        float *all[] = {mean, m2, first_mean, first_m2};
        for (size_t i = 0; i < 4; i++) kt_free(all[i]);
        free(means);
        free(m2s);
        free_sample(&s);
    }
}

// What an activation makes of z, and its derivative.
static double activated(enum shk_norm_activation of, double z, double *derivative) {
    const double gate = fmin(1, fmax(0, z / 6 + 0.5)), sigmoid = 1 / (1 + exp(-z));
    const double ys[] = {z, fmax(0, z), z * gate, z * sigmoid};
    const double slopes[] = {1, z > 0, fabs(z) < 3 ? z / 3 + 0.5 : gate, sigmoid * (1 + z * (1 - sigmoid))};
    *derivative = slopes[of];
    return ys[of];
}

static double normalised(const struct sample *s, size_t i) {
    const size_t c = i % s->cols;
    return (double)fmaf(s->x[i] - s->mean[c], s->scale[c], s->shift[c]);
}

static void values_are_normalised(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        struct sample s = random_sample(trial);
        struct shk_batch_norm args = args_of(&s);
        const size_t n = s.rows * s.cols;
        double *want = malloc(n * sizeof *want), slope;
        float *first = args.y = kt_floats(n);
        args.residual = trial % 8 < 4 ? s.y : NULL;
        for (size_t i = 0; i < n; i++) {
            const float z = (float)normalised(&s, i), sum = args.residual ? z + s.y[i] : z;
            want[i] = activated(s.activation, (double)sum, &slope);
        }
        kt_reference()->batch_norm_forward(&args);
        kt_close("forward", "c", first, want, NULL, n, s.cols, s.activation < SHK_NORM_HARDSWISH ? 0 : 2e-6);
        KT_FOR_ISAS(kernels) {
            args.y = kt_floats(n);
            kernels->batch_norm_forward(&args);
            kt_same_bits("forward", kernels->isa, args.y, first, n, s.cols);
            kt_free(args.y);
        }
        kt_free(first);
        free(want);
        free_sample(&s);
    }
}

static double passed(const struct sample *s, size_t i) {
    double slope;
    activated(s->activation, normalised(s, i), &slope);
    return slope * (double)s->dy[i];
}

static void gradients_are_summed(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        struct sample s = random_sample(trial);
        struct shk_batch_norm args = args_of(&s);
        double shift[64] = {0}, scale[64] = {0}, size[64] = {0};
        for (size_t i = 0; i < s.rows * s.cols; i++) {
            const size_t c = i % s.cols;
            const double d = (double)(s.x[i] - s.mean[c]);
            shift[c] += passed(&s, i);
            scale[c] += passed(&s, i) * d;
            size[c] += fabs(passed(&s, i)) * (1 + fabs(d));
        }
        for (size_t c = 0; c < s.cols; c++) size[c] += 1e-30;
        float *first[2] = {NULL, NULL};
        KT_FOR_ISAS(kernels) {
            args.dshift = kt_floats(s.cols);
            args.dscale = kt_floats(s.cols);
            kernels->batch_norm_sums(&args);
            kt_close("dshift", kernels->isa, args.dshift, shift, size, s.cols, 0, 1e-6);
            kt_close("dscale", kernels->isa, args.dscale, scale, size, s.cols, 0, 1e-6);
            if (!first[0]) {
                first[0] = args.dshift;
                first[1] = args.dscale;
                continue;
            }
            kt_same_bits("dshift", kernels->isa, args.dshift, first[0], s.cols, 0);
            kt_same_bits("dscale", kernels->isa, args.dscale, first[1], s.cols, 0);
            kt_free(args.dshift);
            kt_free(args.dscale);
        }
        kt_free(first[0]);
        kt_free(first[1]);
        free_sample(&s);
    }
}

// What the sums of a value with another leave behind beside their own: g in place of dy, and of the other value.
struct shared {
    float *masked, *other, *dshift, *dscale;
};

static struct shared shared_sums(const struct sample *s, const struct shk_kernels *k, struct shk_batch_norm args,
                                 const float *before) {
    const size_t n = s->rows * s->cols;
    const struct shared of = {kt_copy(s->dy, n), kt_copy(before, n), kt_floats(s->cols), kt_floats(s->cols)};
    args.dy = of.masked;
    if (args.out) args.masked = of.masked;
    if (args.other) args.other = of.other;
    args.dshift = of.dshift;
    args.dscale = of.dscale;
    k->batch_norm_sums(&args);
    return of;
}

static void free_shared(struct shared *s) {
    float *all[] = {s->masked, s->other, s->dshift, s->dscale};
    for (size_t i = 0; i < 4; i++) kt_free(all[i]);
}

// With a ReLU behind and without, with another value and without, to whose gradient is added or not: the sums are those of a
// gradient that has passed the ReLU before.
static void gradients_of_sums_are_shared(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        struct sample s = random_sample(0);
        struct shk_batch_norm args = args_of(&s);
        const size_t n = s.rows * s.cols;
        float *before = kt_random(n, -1, 1), *g = kt_copy(s.dy, n), *other = kt_copy(before, n);
        args.out = trial % 2 ? s.y : NULL;
        args.other = trial % 4 / 2 ? other : NULL;
        args.accumulate = trial % 3 == 0;
        for (size_t i = 0; i < n; i++) {
            if (args.out && i % 7 == 0) s.y[i] = 0; // does not pass
            if (args.out && !(s.y[i] > 0)) g[i] = 0;
            if (args.other) other[i] = args.accumulate ? before[i] + g[i] : g[i];
        }
        struct shk_batch_norm plain = args;
        plain.out = plain.other = NULL;
        plain.dy = g;
        plain.dshift = kt_floats(s.cols);
        plain.dscale = kt_floats(s.cols);
        kt_reference()->batch_norm_sums(&plain);
        KT_FOR_ISAS(kernels) {
            struct shared got = shared_sums(&s, kernels, args, before);
            kt_same_bits("masked", kernels->isa, got.masked, g, n, s.cols);
            kt_same_bits("other", kernels->isa, got.other, other, n, s.cols);
            kt_same_bits("dshift", kernels->isa, got.dshift, plain.dshift, s.cols, 0);
            kt_same_bits("dscale", kernels->isa, got.dscale, plain.dscale, s.cols, 0);
            free_shared(&got);
        }
        float *all[] = {before, g, other, plain.dshift, plain.dscale};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
        free_sample(&s);
    }
}

static void gradients_go_back(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        struct sample s = random_sample(trial);
        struct shk_batch_norm args = args_of(&s);
        const size_t n = s.rows * s.cols;
        float *before = kt_random(n, -1, 1), *dx = kt_copy(before, n);
        const bool in_place = trial % 5 == 0;
        args.accumulate = trial % 3 == 0;
        args.dx = dx;
        if (in_place) {
            memcpy(before, s.dy, n * sizeof *dx);
            memcpy(dx, s.dy, n * sizeof *dx);
            args.dy = dx;
        }
        kt_reference()->batch_norm_backward(&args);
        for (size_t i = 0; i < n; i++) {
            const size_t c = i % s.cols;
            const double d = (double)(s.x[i] - s.mean[c]),
                         parts = fabs(passed(&s, i)) + fabs((double)s.level[c]) + fabs(d * (double)s.slope[c]);
            const double want = (double)s.scale[c] * (passed(&s, i) - (double)s.level[c] - d * (double)s.slope[c]) +
                                (args.accumulate ? (double)before[i] : 0);
            if (fabs((double)dx[i] - want) > 1e-6 * (fabs((double)s.scale[c]) * parts + 1))
                fail_msg("backward: element %zu is %.9g, want %.9g", i, (double)dx[i], want);
        }
        KT_FOR_ISAS(kernels) {
            float *got = args.dx = kt_copy(before, n);
            if (in_place) args.dy = got;
            kernels->batch_norm_backward(&args);
            kt_same_bits("batch_norm_backward", kernels->isa, got, dx, n, s.cols);
            kt_free(got);
        }
        kt_free(before);
        kt_free(dx);
        free_sample(&s);
    }
}

KT_MAIN(cmocka_unit_test(statistics_are_right), cmocka_unit_test(values_are_normalised),
        cmocka_unit_test(gradients_are_summed), cmocka_unit_test(gradients_of_sums_are_shared),
        cmocka_unit_test(gradients_go_back))
