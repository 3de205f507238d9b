// SPDX-License-Identifier: MIT
// These tests hold the sigmoid and its derivative against exp in double, and every ISA against C.
#include "kernel_test.h"

enum { N = 4096 };

static void sigmoid_is_close(void **state) {
    (void)state;
    float *x = kt_random(N, -30, 30), *y = kt_floats(N), *d = kt_floats(N);
    double want_y[N], want_d[N], size[N];
    kt_reference()->sigmoid_forward(&(struct shk_sigmoid){N, x, y, d});
    for (int i = 0; i < N; i++) {
        want_y[i] = 1 / (1 + exp(-(double)x[i]));
        want_d[i] = want_y[i] * (1 - want_y[i]);
        size[i] = 1;
    }
    kt_close("sigmoid", "c", y, want_y, size, N, 0, 2e-7);
    kt_close("sigmoid derivative", "c", d, want_d, size, N, 0, 2e-7);
    kt_report();
    kt_free(x);
    kt_free(y);
    kt_free(d);
}

static void same_bits(void **state) {
    (void)state;
    static const float special[16] = {0.0f, -0.0f, 1e-40f, 88.5f, -88.5f, 3.4e38f, -3.4e38f, 120, -120, 0.5f, -0.5f};
    for (size_t n = 16; n <= 16 * 5; n += 16) {
        float *x = kt_random(n, -20, 20), *y = kt_floats(n), *d = kt_floats(n);
        memcpy(x, special, sizeof special);
        kt_reference()->sigmoid_forward(&(struct shk_sigmoid){n, x, y, d});
        KT_FOR_ISAS(kernels) {
            float *got = kt_floats(n), *slope = kt_floats(n), *same = kt_copy(x, n);
            kernels->sigmoid_forward(&(struct shk_sigmoid){n, x, got, slope});
            kernels->sigmoid_forward(&(struct shk_sigmoid){n, same, same, NULL});
            kt_same_bits("sigmoid", kernels->isa, got, y, n, n);
            kt_same_bits("sigmoid derivative", kernels->isa, slope, d, n, n);
            kt_same_bits("sigmoid in place", kernels->isa, same, y, n, n);
            kt_free(got);
            kt_free(slope);
            kt_free(same);
        }
        kt_free(x);
        kt_free(y);
        kt_free(d);
    }
}

KT_MAIN(cmocka_unit_test(sigmoid_is_close), cmocka_unit_test(same_bits))
