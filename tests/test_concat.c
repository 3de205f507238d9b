// SPDX-License-Identifier: MIT
// These tests hold the columns that are laid among others against plain loops: at any place, and the others stay.
#include "kernel_test.h"

enum { ROWS = 5, MOST = 50 };

static void check(size_t cols, bool accumulate) {
    const size_t first = kt_below(20), x_row = cols + kt_below(9), y_row = first + cols + kt_below(20);
    const size_t nx = (ROWS - 1) * x_row + cols, ny = (ROWS - 1) * y_row + first + cols;
    float *x = kt_floats_any(nx), *y = kt_random(ny, -1, 1), *want = kt_copy(y, ny);
    kt_fill(x, nx, -1, 1);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < cols; c++) {
            float *const at = &want[r * y_row + first + c];
            *at = x[r * x_row + c] + (accumulate ? *at : 0);
        }
    KT_FOR_ISAS(kernels) {
        float *got = kt_floats_any(ny);
        memcpy(got, y, ny * sizeof *got);
        const struct shk_concat a = {ROWS, cols, x, x_row, got + first, y_row, accumulate};
        kernels->concat(&a);
        kt_same_bits("concat", kernels->isa, got, want, ny, y_row);
        kt_free(got);
    }
    kt_free(x);
    kt_free(y);
    kt_free(want);
}

static void columns_are_laid_among_others(void **state) {
    (void)state;
    for (size_t cols = 1; cols <= MOST; cols++)
        for (int accumulate = 0; accumulate < 2; accumulate++) check(cols, accumulate);
}

KT_MAIN(cmocka_unit_test(columns_are_laid_among_others))
