// SPDX-License-Identifier: MIT
// These tests hold sums of matrices against a plain loop.
#include "kernel_test.h"

static void add_is_right(void **state) {
    (void)state;
    for (size_t rows = 1; rows <= 20; rows++) {
        const size_t cols = 16 * (1 + kt_below(6)), x_row = kt_stride(cols), y_row = kt_stride(cols);
        float *x = kt_matrix(rows, cols, x_row, -1, 1), *y = kt_matrix(rows, cols, y_row, -1, 1),
              *want = kt_copy(y, rows * y_row);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) want[r * y_row + c] += x[r * x_row + c];
        KT_FOR_ISAS(kernels) {
            float *got = kt_copy(y, rows * y_row);
            const struct shk_add args = {rows, cols, x, (ptrdiff_t)x_row, got, (ptrdiff_t)y_row};
            kernels->add(&args);
            kt_same_bits("add", kernels->isa, got, want, rows * y_row, y_row);
            kt_free(got);
        }
        kt_free(x);
        kt_free(y);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(add_is_right))
