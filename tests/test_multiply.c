// SPDX-License-Identifier: MIT
// These tests hold products of elements against a plain loop.
#include "kernel_test.h"

static void multiply_is_right(void **state) {
    (void)state;
    for (size_t n = 16; n <= 16 * 12; n += 16) {
        float *a = kt_random(n, -1, 1), *b = kt_random(n, -1, 1), *want = kt_floats(n);
        for (size_t i = 0; i < n; i++) want[i] = a[i] * b[i];
        KT_FOR_ISAS(kernels) {
            float *y = kt_floats(n), *on_a = kt_copy(a, n), *on_b = kt_copy(b, n);
            const struct shk_multiply calls[3] = {{n, a, b, y}, {n, on_a, b, on_a}, {n, a, on_b, on_b}};
            for (int k = 0; k < 3; k++) {
                kernels->multiply(&calls[k]);
                kt_same_bits("multiply", kernels->isa, calls[k].y, want, n, 0);
                kt_free(calls[k].y);
            }
        }
        kt_free(a);
        kt_free(b);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(multiply_is_right))
