// SPDX-License-Identifier: MIT
// These tests hold sums of rows against a plain loop.
#include "kernel_test.h"

static void column_sum_is_right(void **state) {
    (void)state;
    for (size_t cols = 16; cols <= 16 * 18; cols += 16) {
        const size_t rows = kt_below(100), row = kt_stride(cols);
        float *x = kt_matrix(rows + 1, cols, row, -1, 1), *start = kt_random(cols, -1, 1);
        for (int variant = 0; variant < 16; variant++) {
            const bool starts = variant & 1, in_place = variant & 2, relu = variant & 4, in_blocks = variant & 8;
            const size_t block = in_blocks ? 16 : rows + 1;
            float *want = kt_floats(cols);
            for (size_t c = 0; c < cols; c++) {
                want[c] = starts ? start[c] : 0;
                for (size_t first = 0; first < rows; first += block) {
                    float sum = in_blocks ? 0 : want[c];
                    for (size_t r = first; r < rows && r < first + block; r++) sum += x[r * row + c];
                    want[c] = in_blocks ? want[c] + sum : sum;
                }
                if (relu && want[c] < 0) want[c] = 0;
            }
            KT_FOR_ISAS(kernels) {
                float *sum = in_place ? kt_copy(start, cols) : kt_floats(cols);
                const struct shk_column_sum args = {
                    rows, cols, x, (ptrdiff_t)row, starts ? in_place ? sum : start : NULL, sum, relu, in_blocks};
                kernels->column_sum(&args);
                kt_same_bits("column_sum", kernels->isa, sum, want, cols, 0);
                kt_free(sum);
            }
            kt_free(want);
        }
        kt_free(x);
        kt_free(start);
    }
}

KT_MAIN(cmocka_unit_test(column_sum_is_right))
