// SPDX-License-Identifier: MIT
// These tests hold a ReLU and its gradient against plain loops.
#include "kernel_test.h"

static void relu_forward_is_right(void **state) {
    (void)state;
    for (size_t n = 16; n <= 16 * 12; n += 16) {
        float *x = kt_random(n, -1, 1), *want = kt_floats(n);
        x[0] = NAN;
        x[1] = -0.0f;
        x[2] = -1e-40f;
        x[3] = -INFINITY;
        for (size_t i = 0; i < n; i++) want[i] = 0 > x[i] ? 0 : x[i];
        KT_FOR_ISAS(kernels) {
            float *y = kt_floats(n), *same = kt_copy(x, n);
            kernels->relu_forward(&(struct shk_relu_forward){n, x, y});
            kernels->relu_forward(&(struct shk_relu_forward){n, same, same});
            kt_same_bits("relu_forward", kernels->isa, y, want, n, 0);
            kt_same_bits("relu_forward in place", kernels->isa, same, want, n, 0);
            kt_free(y);
            kt_free(same);
        }
        kt_free(x);
        kt_free(want);
    }
}

static void relu_backward_is_right(void **state) {
    (void)state;
    for (size_t n = 16; n <= 16 * 12; n += 16) {
        float *y = kt_random(n, -1, 1), *dy = kt_random(n, -1, 1), *want = kt_floats(n);
        y[0] = 0;
        y[1] = -0.0f;
        y[2] = 1e-40f;
        const float scale = n % 32 ? 1 : 1.25f;
        for (size_t i = 0; i < n; i++) want[i] = y[i] > 0 ? dy[i] * scale : 0;
        KT_FOR_ISAS(kernels) {
            float *dx = kt_floats(n), *same = kt_copy(dy, n);
            const struct shk_relu_backward args = {n, y, dy, dx, scale}, in_place = {n, y, same, same, scale};
            kernels->relu_backward(&args);
            kernels->relu_backward(&in_place);
            kt_same_bits("relu_backward", kernels->isa, dx, want, n, 0);
            kt_same_bits("relu_backward in place", kernels->isa, same, want, n, 0);
            kt_free(dx);
            kt_free(same);
        }
        kt_free(y);
        kt_free(dy);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(relu_forward_is_right), cmocka_unit_test(relu_backward_is_right))
