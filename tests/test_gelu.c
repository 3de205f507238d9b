// SPDX-License-Identifier: MIT
// These tests hold GELU and its derivative against erfc in double, and every ISA against C.
#include "kernel_test.h"

static const double pi = 3.14159265358979323846;

// Keeps the first result as what the others must equal.
static void same_as_first(const char *what, const char *isa, float **first, float *got, size_t n, size_t row) {
    if (!*first) {
        *first = got;
        return;
    }
    kt_same_bits(what, isa, got, *first, n, row);
    kt_free(got);
}

static void gelu_is_close(void **state) {
    (void)state;
    enum { N = 4096 };
    float *x = kt_floats(N), *y = kt_floats(N), *d = kt_floats(N);
    double want_y[N], want_d[N], size[N], worst_slope = 0;
    for (int pass = 0; pass < 50; pass++) {
        const float range = pass % 5 == 4 ? 1000 : pass % 5 == 3 ? 1e-3f : 10;
        kt_fill(x, N, -range, range);
        const struct shk_gelu args = {N, x, y, d};
        kt_reference()->gelu_forward(&args);
        for (int i = 0; i < N; i++) {
            const double v = (double)x[i], upper = 0.5 * erfc(-v / sqrt(2)), h = 1e-4;
            want_y[i] = v * upper;
            want_d[i] = upper + v * exp(-v * v / 2) / sqrt(2 * pi);
            size[i] = fmax(1, fabs(v));
            if (range > 10) continue;
            const double up = (v + h) * 0.5 * erfc(-(v + h) / sqrt(2)), down = (v - h) * 0.5 * erfc(-(v - h) / sqrt(2));
            worst_slope = fmax(worst_slope, fabs((up - down) / (2 * h) - want_d[i]));
        }
        kt_close("gelu", "c", y, want_y, size, N, 0, 3e-7);
        kt_close("gelu derivative", "c", d, want_d, NULL, N, 0, 3e-7);
    }
    assert_true(worst_slope < 1e-7);
    kt_report();
    kt_free(x);
    kt_free(y);
    kt_free(d);
}

static void gelu_has_the_same_bits(void **state) {
    (void)state;
    static const float special[16] = {0.0f, -0.0f, 1e-40f,  -1e-40f,  1e-30f, -1e-30f, 8,    -8,
                                      9,    -9,    3.4e38f, -3.4e38f, 13,     -13,     0.5f, -0.5f};
    for (size_t n = 16; n <= 16 * 12; n += 16) {
        float *x = kt_random(n, -9, 9), *first_y = NULL, *first_d = NULL;
        memcpy(x, special, sizeof special);
        KT_FOR_ISAS(kernels) {
            float *y = kt_floats(n), *d = kt_floats(n), *same = kt_copy(x, n), *alone = kt_floats(n);
            const struct shk_gelu args = {n, x, y, d}, in_place = {n, same, same, alone};
            kernels->gelu_forward(&args);
            kernels->gelu_forward(&in_place);
            kt_same_bits("gelu in place", kernels->isa, same, y, n, 0);
            kt_same_bits("gelu in place, derivative", kernels->isa, alone, d, n, 0);
            const struct shk_gelu forward = {n, x, alone, NULL};
            kernels->gelu_forward(&forward);
            kt_same_bits("gelu without derivative", kernels->isa, alone, y, n, 0);
            for (size_t i = 0; i < n; i++) assert_true(fpclassify(d[i]) != FP_SUBNORMAL && isfinite(d[i]));
            kt_free(same);
            kt_free(alone);
            same_as_first("gelu", kernels->isa, &first_y, y, n, 0);
            same_as_first("gelu derivative", kernels->isa, &first_d, d, n, 0);
        }
        kt_free(x);
        kt_free(first_y);
        kt_free(first_d);
    }
    KT_FOR_ISAS(kernels) {
        float *x = kt_random(16, -1, 1), *d = kt_floats(16);
        x[3] = NAN;
        x[7] = INFINITY;
        const struct shk_gelu args = {16, x, x, d};
        kernels->gelu_forward(&args);
        for (int i = 0; i < 16; i++) assert_true(!!isnan(x[i]) == (i == 3) && !!isnan(d[i]) == (i == 3));
        assert_true(isinf(x[7]) && d[7] == 1);
        kt_free(x);
        kt_free(d);
    }
}

static void gelu_is_close_on_a_grid(void **state) {
    (void)state;
    enum { COUNT = 4096 };
    static _Alignas(64) float x[COUNT], y[COUNT], d[COUNT], first[2][COUNT];
    for (size_t i = 0; i < COUNT; i++) x[i] = ((float)i - COUNT / 2) / 200; // -10.24 .. 10.24
    const float special[] = {0, -0.0f, 1e-40f, -1e-40f, 3e38f, -3e38f, 0x1p-126f, -1e-20f};
    memcpy(x + 100, special, sizeof special);
    for (size_t k = 0; shk_kernels_at(k); k++) {
        struct shk_gelu gelu = {.n = COUNT, .x = x, .y = y, .derivative = d};
        shk_kernels_at(k)->gelu_forward(&gelu);
        if (k == 0) {
            memcpy(first[0], y, sizeof y);
            memcpy(first[1], d, sizeof d);
        }
        assert_memory_equal(first[0], y, sizeof y);
        assert_memory_equal(first[1], d, sizeof d);
    }
    for (size_t i = 0; i < COUNT; i++) {
        double v = x[i], upper = 0.5 * erfc(-v * sqrt(0.5)), density = exp(-0.5 * v * v) / sqrt(2 * acos(-1.0));
        double slope = upper + (density > 0 ? v * density : 0);
        assert_true(fabs(y[i] - v * upper) <= 3e-7 * fmax(1, fabs(v)));
        assert_true(fabs(d[i] - slope) <= 1e-6);
    }
}

KT_MAIN(cmocka_unit_test(gelu_is_close), cmocka_unit_test(gelu_has_the_same_bits),
        cmocka_unit_test(gelu_is_close_on_a_grid))
