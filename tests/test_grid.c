// SPDX-License-Identifier: MIT
// These tests hold the sines and cosines of a grid's positions against libm's in double.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/grid.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double wanted(size_t y, size_t x, size_t column, size_t dim) {
    const size_t quarter = dim / 4, i = column % quarter, part = column / quarter;
    const double angle = (double)(part < 2 ? x : y) * pow(10000, -(double)i / (double)quarter);
    return part % 2 ? cos(angle) : sin(angle);
}

static void check_grid(size_t h, size_t w, size_t rows, size_t dim, size_t ld) {
    const struct shk_grid grid = {h, w};
    const size_t before = rows - h * w;
    float *table = malloc(rows * ld * sizeof *table);
    for (size_t i = 0; i < rows * ld; i++) table[i] = -3;
    shk_grid_positions(&grid, rows, dim, ld, table);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < ld; c++) {
            const double got = (double)table[r * ld + c];
            if (r < before || c >= dim)
                assert_true(got == -3);
            else
                assert_true(fabs(got - wanted((r - before) / w, (r - before) % w, c, dim)) <= 0x1p-25 + 1e-11);
        }
    free(table);
}

static void test_grids(void **state) {
    (void)state;
    check_grid(1, 1, 1, 4, 16);
    check_grid(2, 3, 7, 8, 8);
    check_grid(8, 8, 65, 192, 192);
    check_grid(5, 64, 320, 20, 32);
    check_grid(4096, 1, 4096, 48, 48);
    check_grid(1, 256, 258, 4096, 4096);
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// The bits do not depend on a libm: these are sin and cos of 1, 0.1, 2 and 0.2, each the f32 next to it.
static void test_bits(void **state) {
    (void)state;
    float table[6 * 16] = {0};
    shk_grid_positions(&(struct shk_grid){3, 2}, 6, 16, 16, table);
    assert_int_equal(bits_of(table[16]), 0x3f576aa4);                 // sin 1
    assert_int_equal(bits_of(table[16 + 1]), 0x3dcc7576);             // sin 0.1
    assert_int_equal(bits_of(table[16 + 4]), 0x3f0a5140);             // cos 1
    assert_int_equal(bits_of(table[4 * 16 + 8]), 0x3f68c7b7);         // sin 2
    assert_int_equal(bits_of(table[4 * 16 + 8 + 4]), 0xbed51133);     // cos 2
    assert_int_equal(bits_of(table[4 * 16 + 8 + 4 + 1]), 0x3f7ae5a5); // cos 0.2
    assert_int_equal(bits_of(table[0]), 0);
    assert_int_equal(bits_of(table[4]), 0x3f800000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grids), cmocka_unit_test(test_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
