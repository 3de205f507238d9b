// SPDX-License-Identifier: MIT
// Random numbers, element-wise mathematics and dispatch: right against independent computations, and the same bits on
// every ISA that this CPU has.
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
        struct shk_random_fill fill = {.n = N, .out = out, .a = 0, .b = 1, .stream = stream};
        shk_kernels_at(k)->random_uniform(&fill);
        for (size_t e = 0; e < N; e++) assert_true(out[e] == unit_of(e)); // exact
        assert_true(out[N] == -7);
        fill.a = -3;
        fill.b = 5;
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
            struct shk_random_fill fill = {.n = n, .out = out + 3, .a = 0, .b = 1, .stream = stream};
            shk_kernels_at(k)->random_uniform(&fill);
            for (size_t i = 0; i < 140; i++) assert_true(i >= 3 && i < n + 3 ? out[i] == unit_of(i - 3) : out[i] == -7);
        }
}

static void test_uniform_moments(void **state) {
    (void)state;
    static float out[N];
    struct shk_random_fill fill = {.n = N, .out = out, .a = 0, .b = 1, .stream = stream};
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
        struct shk_random_fill fill = {.n = N, .out = k ? out : first, .a = 0, .b = 1, .stream = stream};
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

    struct shk_random_fill fill = {.n = N, .out = out, .a = 2, .b = 0.5f, .stream = stream};
    shk_kernels_at(0)->random_normal(&fill);
    for (size_t e = 0; e < N; e++) assert_true(out[e] == fmaf(0.5f, first[e], 2));
}

// The keep masks are those of Philox4x32-7, 16 bits an element, in the order that kernels.h states.
static void test_dropout_bits(void **state) {
    (void)state;
    enum { ROWS = 3, COLS = 176, ELEMENT = 384 };
    uint16_t mask[ROWS * COLS / 16];
    const struct shk_dropout_spec spec = {.threshold = 20000, .scale = 65536.0f / 45536, .stream = stream};
    for (size_t k = 0; shk_kernels_at(k); k++) {
        struct shk_dropout_mask draw = {ROWS * COLS, mask, spec, ELEMENT};
        shk_kernels_at(k)->dropout_mask(&draw);
        for (uint32_t i = 0; i < ROWS * COLS; i++) {
            uint32_t e = ELEMENT + i, word = reference(7, e / 128 * 16 + e % 16, &stream).v[e / 16 % 8 / 2];
            uint32_t bits = e / 16 % 2 ? word >> 16 : word & 0xffff;
            assert_int_equal(mask[i / 16] >> i % 16 & 1, bits >= 20000);
        }
    }
}

static void test_gelu(void **state) {
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

static void test_dispatch(void **state) {
    (void)state;
    const char *const names[] = {"c", "avx2", "avx512", "neon"};
    const struct shk_kernels *last = NULL;
    size_t found = 0;
    bool exists = true;
    assert_null(shk_kernels_find("sse9", &exists));
    assert_false(exists);
    assert_null(shk_kernels_find("", &exists));
    assert_false(exists);
    assert_string_equal(shk_kernels_at(0)->isa, "c");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct shk_kernels *kernels = shk_kernels_find(names[i], &exists);
        assert_true(exists);
        if (!kernels) continue;
        found++;
        assert_string_equal(kernels->isa, names[i]);
#define KERNEL(name, type) assert_non_null(kernels->name);
#include "kernels.def"
#undef KERNEL
    }
    size_t count = 0;
    for (; shk_kernels_at(count); count++) {
        last = shk_kernels_at(count);
        assert_ptr_equal(shk_kernels_find(last->isa, &exists), last);
    }
    assert_int_equal(count, found);
    assert_null(shk_kernels_at(count + 1));
    assert_ptr_equal(shk_kernels_find(NULL, &exists), last);
    assert_ptr_equal(shk_kernels_find("auto", &exists), last);
    // no CPU has both of these
    const bool neon = shk_kernels_find("neon", &exists), avx2 = shk_kernels_find("avx2", &exists);
    assert_false(neon && avx2);
    assert_true(exists);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform),  cmocka_unit_test(test_fill_ends),    cmocka_unit_test(test_uniform_moments),
        cmocka_unit_test(test_normal),   cmocka_unit_test(test_dropout_bits), cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_dispatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
