// SPDX-License-Identifier: MIT
// These tests hold SiLU and its derivative against exp in double, and every ISA against C.
#include "kernel_test.h"

static void silu_is_close(void **state) {
    (void)state;
    enum { N = 4096 };
    float *x = kt_floats(N), *y = kt_floats(N), *d = kt_floats(N);
    double want_y[N], want_d[N], size[N];
    static const float ranges[] = {1e-3f, 1, 10, 80};
    for (size_t pass = 0; pass < sizeof ranges / sizeof *ranges; pass++) {
        kt_fill(x, N, -ranges[pass], ranges[pass]);
        kt_reference()->silu_forward(&(struct shk_silu){N, x, y, d});
        for (int i = 0; i < N; i++) {
            const double v = (double)x[i], s = 1 / (1 + exp(-v));
            want_y[i] = v * s;
            want_d[i] = s * (1 + v * (1 - s));
            size[i] = fmax(1, fabs(v));
        }
        kt_close("silu", "c", y, want_y, size, N, 0, 4e-7);
        kt_close("silu derivative", "c", d, want_d, size, N, 0, 4e-7);
    }
    kt_report();
    kt_free(x);
    kt_free(y);
    kt_free(d);
}

static void silu_has_the_same_bits(void **state) {
    (void)state;
    static const float special[16] = {0.0f, -0.0f, 1e-40f,  -1e-40f,  1e-30f, -1e-30f, 88.5f, -88.5f,
                                      89,   -89,   3.4e38f, -3.4e38f, 120,    -120,    0.5f,  -0.5f};
    for (size_t n = 16; n <= 16 * 5; n += 16) {
        float *x = kt_random(n, -20, 20), *y = kt_floats(n), *d = kt_floats(n);
        memcpy(x, special, sizeof special);
        kt_reference()->silu_forward(&(struct shk_silu){n, x, y, d});
        KT_FOR_ISAS(kernels) {
            float *got = kt_floats(n), *slope = kt_floats(n), *same = kt_copy(x, n);
            kernels->silu_forward(&(struct shk_silu){n, x, got, slope});
            kernels->silu_forward(&(struct shk_silu){n, same, same, NULL});
            kt_same_bits("silu", kernels->isa, got, y, n, 0);
            kt_same_bits("silu derivative", kernels->isa, slope, d, n, 0);
            kt_same_bits("silu in place", kernels->isa, same, y, n, 0);
            kt_free(got);
            kt_free(slope);
            kt_free(same);
        }
        for (size_t i = 0; i < n; i++) assert_true(isfinite(y[i]) && isfinite(d[i]));
        kt_free(x);
        kt_free(y);
        kt_free(d);
    }
}

KT_MAIN(cmocka_unit_test(silu_is_close), cmocka_unit_test(silu_has_the_same_bits))
