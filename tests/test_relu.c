// SPDX-License-Identifier: MIT
// These tests hold a ReLU's gradient against a plain loop.
#include "kernel_test.h"

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

KT_MAIN(cmocka_unit_test(relu_backward_is_right))
