// SPDX-License-Identifier: MIT
// These tests hold a map times its channels' factors, and the gradients of both, against plain loops, to the bit.
#include "kernel_test.h"

static void products_and_gradients(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        struct shk_scale a = {.rows = 1 + kt_below(40), .cols = 16 * (1 + kt_below(4)), .accumulate = kt_below(2)};
        const size_t n = a.rows * a.cols;
        float *x = kt_random(n, -1, 1), *factor = kt_random(a.cols, -1, 1), *dy = kt_random(n, -1, 1);
        float *before = kt_random(n, -1, 1), *y = kt_floats(n), *dx = kt_copy(before, n), *dfactor = kt_floats(a.cols);
        memset(dfactor, 0, a.cols * sizeof *dfactor);
        for (size_t i = 0; i < n; i++) {
            const size_t c = i % a.cols;
            y[i] = x[i] * factor[c];
            dx[i] = a.accumulate ? fmaf(dy[i], factor[c], dx[i]) : dy[i] * factor[c];
            dfactor[c] = fmaf(dy[i], x[i], dfactor[c]);
        }
        a.x = x;
        a.factor = factor;
        a.dy = dy;
        KT_FOR_ISAS(kernels) {
            a.y = kt_floats(n);
            a.dx = kt_copy(before, n);
            a.dfactor = kt_floats(a.cols);
            kernels->scale_forward(&a);
            kernels->scale_backward(&a);
            kt_same_bits("scale_forward", kernels->isa, a.y, y, n, a.cols);
            kt_same_bits("scale_backward", kernels->isa, a.dx, dx, n, a.cols);
            kt_same_bits("scale_backward's factors", kernels->isa, a.dfactor, dfactor, a.cols, a.cols);
            kt_free(a.y);
            kt_free(a.dx);
            kt_free(a.dfactor);
        }
        float *const all[] = {x, factor, dy, before, y, dx, dfactor};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
    }
}

KT_MAIN(cmocka_unit_test(products_and_gradients))
