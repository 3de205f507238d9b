// SPDX-License-Identifier: MIT
// These tests hold update rules against PyTorch's formulas in double, the sums that they take against plain ones, and
// every ISA against C.
#include "kernel_test.h"

static const double lr = 1e-3, beta1 = 0.9, beta2 = 0.999;

// Step t (from 1) of n weights from one source.
struct step {
    struct shk_rule rule;
    struct shk_apply_rule args;
};

static struct step adam_step(size_t n, int t) {
    return (struct step){.rule = {.kind = SHK_ADAM,
                                  .adam = {.beta1 = (float)beta1,
                                           .one_minus_beta1 = (float)(1 - beta1),
                                           .beta2 = (float)beta2,
                                           .one_minus_beta2 = (float)(1 - beta2),
                                           .eps = 1e-8f,
                                           .step_size = (float)(lr / (1 - pow(beta1, t))),
                                           .inv_sqrt_bc2 = (float)(1 / sqrt(1 - pow(beta2, t)))},
                                  .scale = 1},
                         .args = {.n = n, .sources = 1, .group = 4}};
}

static void apply(const struct shk_kernels *kernels, const struct step *step) {
    struct shk_apply_rule args = step->args;
    args.rule = &step->rule;
    kernels->apply_rule(&args);
}

static float *zeros(size_t n) {
    float *x = kt_floats(n);
    memset(x, 0, n * sizeof *x);
    return x;
}

static void follows_pytorch_for_50_steps(void **state) {
    (void)state;
    enum { N = 208 };
    float *w = kt_random(N, -1, 1), *m = zeros(N), *v = zeros(N), *g = kt_floats(N);
    double wd[N], md[N] = {0}, vd[N] = {0}, size[N];
    for (int i = 0; i < N; i++) wd[i] = (double)w[i];
    for (int t = 1; t <= 50; t++) {
        kt_fill(g, N, -1, 1);
        for (int i = 0; i < N; i++) g[i] *= exp2f((float)(i % 40) - 30); // gradients of all sizes
        struct step step = adam_step(N, t);
        bool finite = true;
        step.rule.w = w;
        step.rule.moments[0] = m;
        step.rule.moments[1] = v;
        step.args.gradients = g;
        step.rule.finite = &finite;
        apply(kt_reference(), &step);
        assert_true(finite);
        for (int i = 0; i < N; i++) {
            md[i] += ((double)g[i] - md[i]) * (1 - beta1);
            vd[i] = beta2 * vd[i] + (1 - beta2) * (double)g[i] * (double)g[i];
            wd[i] -= lr / (1 - pow(beta1, t)) * (md[i] / (sqrt(vd[i]) / sqrt(1 - pow(beta2, t)) + 1e-8));
            size[i] = fabs(wd[i]) + lr * t;
        }
        kt_close("adam w", "c", w, wd, size, N, 0, 1e-6);
        for (int i = 0; i < N; i++) size[i] = sqrt(vd[i]) + 1e-30;
        kt_close("adam m", "c", m, md, size, N, 0, 1e-5);
        for (int i = 0; i < N; i++) size[i] = vd[i] + 1e-30;
        kt_close("adam v", "c", v, vd, size, N, 0, 1e-5);
    }
    kt_report();
    kt_free(w);
    kt_free(m);
    kt_free(v);
    kt_free(g);
}

static void same_bits_on_every_isa(void **state) {
    (void)state;
    static const size_t sources[] = {1, 2, 3, 5, 16, 64};
    for (size_t n = 16; n <= 16 * 19; n += 16) {
        const size_t count = sources[n / 16 % 6], stride = n + 16 * kt_below(3);
        const float *gradients = kt_random(stride * count, -1, 1);
        const float *w0 = kt_random(n, -1, 1), *m0 = kt_random(n, -1, 1), *v0 = kt_random(n, 0, 1);
        float *want[3] = {NULL, NULL, NULL};
        KT_FOR_ISAS(kernels) {
            float *got[3] = {kt_copy(w0, n), kt_copy(m0, n), kt_copy(v0, n)};
            bool finite = true;
            for (int t = 3; t < 6; t++) {
                struct step step = adam_step(n, t);
                step.rule.w = got[0];
                step.rule.moments[0] = got[1];
                step.rule.moments[1] = got[2];
                step.args.gradients = gradients;
                step.args.stride = stride;
                step.args.sources = count;
                step.args.group = n / 16 % 5 + 1;
                step.rule.finite = &finite;
                apply(kernels, &step);
            }
            assert_true(finite);
            for (int i = 0; i < 3; i++) {
                if (want[i]) {
                    kt_same_bits("adam", kernels->isa, got[i], want[i], n, 0);
                    kt_free(got[i]);
                } else {
                    want[i] = got[i];
                }
            }
        }
        for (int i = 0; i < 3; i++) kt_free(want[i]);
        kt_free((void *)gradients);
        kt_free((void *)w0);
        kt_free((void *)m0);
        kt_free((void *)v0);
    }
}

// The sum of element i: of each group in ascending order, then of the groups.
static float grouped_sum(const float *gradients, size_t stride, size_t sources, size_t group, size_t i) {
    float total = 0;
    for (size_t first = 0; first < sources; first += group) {
        float sum = gradients[first * stride + i];
        for (size_t s = first + 1; s < sources && s < first + group; s++) sum += gradients[s * stride + i];
        total = first == 0 ? sum : total + sum;
    }
    return total;
}

// One step on many sources is the step on their sum.
static void check_sums(size_t group) {
    enum { N = 176, SOURCES = 7, STRIDE = N + 16 };
    float *gradients = kt_random(STRIDE * SOURCES, -1, 1), *sum = kt_floats(N);
    for (size_t i = 0; i < N; i++) sum[i] = grouped_sum(gradients, STRIDE, SOURCES, group, i);
    KT_FOR_ISAS(kernels) {
        float *w[2], *m[2], *v[2];
        bool finite = true;
        for (int k = 0; k < 2; k++) {
            w[k] = zeros(N);
            m[k] = zeros(N);
            v[k] = zeros(N);
            struct step step = adam_step(N, 1);
            step.rule.w = w[k];
            step.rule.moments[0] = m[k];
            step.rule.moments[1] = v[k];
            step.args.gradients = k ? sum : gradients;
            step.args.sources = k ? 1 : SOURCES;
            step.args.group = group;
            step.args.stride = STRIDE;
            step.rule.finite = &finite;
            apply(kernels, &step);
        }
        kt_same_bits("adam w of sources", kernels->isa, w[0], w[1], N, 0);
        kt_same_bits("adam m of sources", kernels->isa, m[0], m[1], N, 0);
        kt_same_bits("adam v of sources", kernels->isa, v[0], v[1], N, 0);
        for (int k = 0; k < 2; k++) {
            kt_free(w[k]);
            kt_free(m[k]);
            kt_free(v[k]);
        }
    }
    kt_free(gradients);
    kt_free(sum);
}

static void sums_sources_in_order(void **state) {
    (void)state;
    for (size_t group = 1; group <= 8; group++) check_sums(group);
}

// A step with a scale is the step on scaled gradients.
static void scales_gradients(void **state) {
    (void)state;
    enum { N = 176, SOURCES = 3 };
    const float scale = 0.3f;
    float *gradients = kt_random(N * SOURCES, -1, 1), *scaled = kt_floats(N);
    for (size_t i = 0; i < N; i++) scaled[i] = scale * (gradients[i] + gradients[N + i] + gradients[2 * N + i]);
    KT_FOR_ISAS(kernels) {
        float *w[2], *m[2], *v[2];
        bool finite = true;
        for (int k = 0; k < 2; k++) {
            w[k] = zeros(N);
            m[k] = zeros(N);
            v[k] = zeros(N);
            struct step step = adam_step(N, 1);
            step.rule.w = w[k];
            step.rule.moments[0] = m[k];
            step.rule.moments[1] = v[k];
            step.args.gradients = k ? scaled : gradients;
            step.args.sources = k ? 1 : SOURCES;
            step.args.stride = N;
            step.rule.scale = k ? 1 : scale;
            step.rule.finite = &finite;
            apply(kernels, &step);
        }
        kt_same_bits("adam w, scaled", kernels->isa, w[0], w[1], N, 0);
        kt_same_bits("adam m, scaled", kernels->isa, m[0], m[1], N, 0);
        kt_same_bits("adam v, scaled", kernels->isa, v[0], v[1], N, 0);
        for (int k = 0; k < 2; k++) {
            kt_free(w[k]);
            kt_free(m[k]);
            kt_free(v[k]);
        }
    }
    kt_free(gradients);
    kt_free(scaled);
}

static void idle_moments_end_at_zero(void **state) {
    (void)state;
    enum { N = 96 };
    KT_FOR_ISAS(kernels) {
        float *w = kt_random(N, -1, 1), *m = kt_random(N, -1, 1), *v = kt_random(N, 0x1p-99f, 0x1p-98f), *g = zeros(N);
        bool finite = true;
        for (int t = 1; t <= 2000; t++) {
            struct step step = adam_step(N, t);
            step.rule.w = w;
            step.rule.moments[0] = m;
            step.rule.moments[1] = v;
            step.args.gradients = g;
            step.rule.finite = &finite;
            apply(kernels, &step);
            for (int i = 0; i < N; i++) {
                assert_true(m[i] == 0 || fabsf(m[i]) >= 0x1p-100f);
                assert_true(v[i] == 0 || v[i] >= 0x1p-100f);
                assert_true(isfinite(w[i]));
            }
        }
        assert_true(finite);
        for (int i = 0; i < N; i++) assert_true(kt_bits(m[i]) == 0 && kt_bits(v[i]) == 0);
        kt_free(w);
        kt_free(m);
        kt_free(v);
        kt_free(g);
    }
}

static void tells_gradients_that_are_not_finite(void **state) {
    (void)state;
    enum { N = 16 * 11, SOURCES = 3 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    KT_FOR_ISAS(kernels) {
        float *w = kt_random(N, -1, 1), *m = zeros(N), *v = zeros(N), *g = kt_random(N * SOURCES, -1, 1);
        struct step step = adam_step(N, 1);
        bool finite;
        step.rule.w = w;
        step.rule.moments[0] = m;
        step.rule.moments[1] = v;
        step.args.gradients = g;
        step.args.sources = SOURCES;
        step.args.stride = N;
        step.rule.finite = &finite;
        g[1] = g[N + 1] = 0x1p127f; // the sum overflows
        for (size_t i = 0; i < N; i++) {
            const size_t place = kt_below(SOURCES) * N + i;
            const float before = g[place];
            if (i != 1) g[1] = 0, g[place] = bad[i % 3];
            finite = true;
            apply(kernels, &step);
            assert_false(finite);
            g[place] = before;
            g[1] = 0x1p127f;
        }
        g[N + 1] = 0;
        g[1] = 0x1p70f; // finite, but (1 - beta2) times its square is not
        memset(m, 0, N * sizeof *m);
        memset(v, 0, N * sizeof *v);
        finite = true;
        apply(kernels, &step);
        assert_false(finite);
        g[1] = 0x1p60f; // large but finite
        memset(m, 0, N * sizeof *m);
        memset(v, 0, N * sizeof *v);
        finite = true;
        apply(kernels, &step);
        assert_true(finite);
        finite = false;
        apply(kernels, &step);
        assert_false(finite); // never set to true
        kt_free(w);
        kt_free(m);
        kt_free(v);
        kt_free(g);
    }
}

KT_MAIN(cmocka_unit_test(follows_pytorch_for_50_steps), cmocka_unit_test(same_bits_on_every_isa),
        cmocka_unit_test(sums_sources_in_order), cmocka_unit_test(idle_moments_end_at_zero),
        cmocka_unit_test(tells_gradients_that_are_not_finite), cmocka_unit_test(scales_gradients))
