// SPDX-License-Identifier: MIT
// These tests hold sums of squares against double, and every ISA against C.
#include "kernel_test.h"

static void sums_squares(void **state) {
    (void)state;
    for (size_t n = 0; n <= 4096; n += n < 320 ? 16 : 944) {
        float *x = kt_random(n, -3, 3), want = 0;
        double exact = 0;
        for (size_t i = 0; i < n; i++) exact += (double)x[i] * (double)x[i];
        KT_FOR_ISAS(kernels) {
            float sum = NAN;
            bool finite = true;
            kernels->square_sum(&(struct shk_square_sum){n, x, &sum, &finite});
            assert_true(finite);
            kt_close("square_sum", kernels->isa, &sum, &exact, &exact, 1, 0, 1e-6);
            if (kernels == kt_reference()) want = sum;
            kt_same_bits("square_sum", kernels->isa, &sum, &want, 1, 0);
        }
        kt_free(x);
    }
    kt_report();
}

static void tells_squares_that_are_not_finite(void **state) {
    (void)state;
    enum { N = 80 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float *x = kt_random(N, -1, 1), sum;
    KT_FOR_ISAS(kernels) {
        bool finite = true;
        const struct shk_square_sum args = {N, x, &sum, &finite};
        for (size_t i = 0; i < N; i++) {
            const float before = x[i];
            x[i] = bad[i % 3];
            finite = true;
            kernels->square_sum(&args);
            assert_false(finite);
            x[i] = 0x1p127f; // finite, but its square is not
            finite = true;
            kernels->square_sum(&args);
            assert_true(finite);
            assert_true(isinf(sum));
            x[i] = before;
        }
        finite = false;
        kernels->square_sum(&args);
        assert_false(finite); // never set to true
    }
    kt_free(x);
}

KT_MAIN(cmocka_unit_test(sums_squares), cmocka_unit_test(tells_squares_that_are_not_finite))
