// SPDX-License-Identifier: MIT
// These tests hold random fills against Random123's numbers and libm, on every ISA.
#include "kernels.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <Random123/philox.h>
#include <math.h>
#include <string.h>

enum { N = 40007 }; // not a multiple of 16, nor of 64

static const struct shk_stream stream = {{0x12345678u, 0x9abcdef0u}, {7, 0xffffffffu, 42}};

static philox4x32_ctr_t reference(unsigned rounds, uint32_t block, const struct shk_stream *s) {
    philox4x32_ctr_t counter = {{block, s->stream[0], s->stream[1], s->stream[2]}};
    philox4x32_key_t key = {{s->key[0], s->key[1]}};
    return philox4x32_R(rounds, counter, key);
}

// The middle of the part of [0, 1) that the random word of element e chooses.
static double unit_of(size_t e) {
    uint32_t block = (uint32_t)(e / 64 * 16 + e % 16);
    return ((reference(10, block, &stream).v[e / 16 % 4] >> 9) + 0.5) * 0x1p-23;
}

static void test_uniform(void **state) {
    (void)state;
    static float out[N + 1];
    for (size_t k = 0; shk_kernels_at(k); k++) {
        out[N] = -7;
        struct shk_random_fill fill = {.n = N, .out = out, .lo = 0, .hi = 1, .stream = stream};
        shk_kernels_at(k)->random_uniform(&fill);
        for (size_t e = 0; e < N; e++) assert_true(out[e] == unit_of(e)); // exact
        assert_true(out[N] == -7);
        fill.lo = -3;
        fill.hi = 5;
        shk_kernels_at(k)->random_uniform(&fill);
        for (size_t e = 0; e < N; e++) assert_true(out[e] == fmaf(8, (float)unit_of(e), -3));
    }
}

// Few elements at an address of any alignment: those, and no others, are written.
static void test_fill_ends(void **state) {
    (void)state;
    for (size_t k = 0; shk_kernels_at(k); k++)
        for (size_t n = 0; n <= 130; n++) {
            float out[140];
            for (size_t i = 0; i < 140; i++) out[i] = -7;
            struct shk_random_fill fill = {.n = n, .out = out + 3, .lo = 0, .hi = 1, .stream = stream};
            shk_kernels_at(k)->random_uniform(&fill);
            for (size_t i = 0; i < 140; i++) assert_true(i >= 3 && i < n + 3 ? out[i] == unit_of(i - 3) : out[i] == -7);
        }
}

static void test_uniform_moments(void **state) {
    (void)state;
    static float out[N];
    struct shk_random_fill fill = {.n = N, .out = out, .lo = 0, .hi = 1, .stream = stream};
    shk_kernels_at(0)->random_uniform(&fill);
    double sum = 0, squares = 0, products = 0;
    for (size_t e = 0; e < N; e++) {
        assert_true(out[e] > 0 && out[e] < 1);
        sum += out[e] - 0.5;
        squares += (out[e] - 0.5) * (out[e] - 0.5);
        if (e) products += (out[e] - 0.5) * (out[e - 1] - 0.5);
    }
    // bounds: four standard deviations of each mean
    assert_true(fabs(sum / N) < 4 * sqrt(1.0 / 12 / N));
    assert_true(fabs(squares / N - 1.0 / 12) < 4 * sqrt(1.0 / 180 / N));
    assert_true(fabs(products / N) < 4 * sqrt(1.0 / 144 / N));
}

static void test_normal(void **state) {
    (void)state;
    static float first[N], out[N];
    double sum = 0, squares = 0, fourth = 0, products = 0;
    for (size_t k = 0; shk_kernels_at(k); k++) {
        struct shk_random_fill fill = {.n = N, .out = k ? out : first, .lo = 0, .hi = 1, .stream = stream};
        shk_kernels_at(k)->random_normal(&fill);
        if (k) assert_memory_equal(first, out, sizeof out);
    }
    for (size_t e = 0; e < N; e++) {
        // the pair of words: 0 and 1, or 2 and 3, of the block
        size_t even = e & ~(size_t)16;
        double radius = sqrt(-2 * log(unit_of(even))), angle = 2 * acos(-1.0) * unit_of(even + 16);
        assert_true(fabs(first[e] - radius * (e & 16 ? sin(angle) : cos(angle))) < 2e-6);
        double square = (double)first[e] * first[e];
        sum += first[e];
        squares += square;
        fourth += square * square;
        if (e >= 16) products += (double)first[e] * first[e - 16];
    }
    assert_true(fabs(sum / N) < 4 * sqrt(1.0 / N));
    assert_true(fabs(squares / N - 1) < 4 * sqrt(2.0 / N));
    assert_true(fabs(fourth / N - 3) < 4 * sqrt(96.0 / N));
    assert_true(fabs(products / N) < 4 * sqrt(1.0 / N));

    struct shk_random_fill fill = {.n = N, .out = out, .mean = 2, .deviation = 0.5f, .stream = stream};
    shk_kernels_at(0)->random_normal(&fill);
    for (size_t e = 0; e < N; e++) assert_true(out[e] == fmaf(0.5f, first[e], 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_uniform), cmocka_unit_test(test_fill_ends),
                                       cmocka_unit_test(test_uniform_moments), cmocka_unit_test(test_normal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
