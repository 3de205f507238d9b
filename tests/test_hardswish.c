// SPDX-License-Identifier: MIT
// These tests hold Hardswish and its derivative against their pieces in double, and every ISA against C.
#include "kernel_test.h"

enum { N = 4096 };

static void hardswish_is_close(void **state) {
    (void)state;
    float *x = kt_random(N, -5, 5), *y = kt_floats(N), *d = kt_floats(N);
    double want_y[N], want_d[N], size[N];
    x[0] = -3;
    x[1] = 3;
    kt_reference()->hardswish_forward(&(struct shk_hardswish){N, x, y, d});
    for (int i = 0; i < N; i++) {
        const double v = (double)x[i];
        want_y[i] = v * fmin(fmax(v + 3, 0), 6) / 6;
        want_d[i] = v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + 0.5;
        size[i] = fmax(1, fabs(v));
    }
    kt_close("hardswish", "c", y, want_y, size, N, 0, 2e-7);
    kt_close("hardswish derivative", "c", d, want_d, size, N, 0, 2e-7);
    kt_report();
    kt_free(x);
    kt_free(y);
    kt_free(d);
}

static void same_bits(void **state) {
    (void)state;
    static const float special[16] = {0.0f, -0.0f, 1e-40f, -1e-40f, 3, -3, 1e30f, -1e30f, 2.9999998f, -2.9999998f};
    for (size_t n = 16; n <= 16 * 5; n += 16) {
        float *x = kt_random(n, -5, 5), *y = kt_floats(n), *d = kt_floats(n);
        memcpy(x, special, sizeof special);
        kt_reference()->hardswish_forward(&(struct shk_hardswish){n, x, y, d});
        KT_FOR_ISAS(kernels) {
            float *got = kt_floats(n), *slope = kt_floats(n), *same = kt_copy(x, n);
            kernels->hardswish_forward(&(struct shk_hardswish){n, x, got, slope});
            kernels->hardswish_forward(&(struct shk_hardswish){n, same, same, NULL});
            kt_same_bits("hardswish", kernels->isa, got, y, n, n);
            kt_same_bits("hardswish derivative", kernels->isa, slope, d, n, n);
            kt_same_bits("hardswish in place", kernels->isa, same, y, n, n);
            kt_free(got);
            kt_free(slope);
            kt_free(same);
        }
        kt_free(x);
        kt_free(y);
        kt_free(d);
    }
}

KT_MAIN(cmocka_unit_test(hardswish_is_close), cmocka_unit_test(same_bits))
