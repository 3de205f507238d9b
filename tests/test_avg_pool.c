// SPDX-License-Identifier: MIT
// These tests hold the mean of windows, and its gradients' ways back, against plain loops in the order of the contract.
#include "kernel_test.h"

static struct shk_avg_pool random_shape(void) {
    struct shk_avg_pool p = {.c = 16 * (1 + kt_below(3)), .window = 1 + kt_below(5), .stride = 1 + kt_below(4)};
    p.pad = kt_below(p.window / 2 + 1);
    p.h = p.window + kt_below(8);
    p.w = p.window + kt_below(8);
    p.out_h = (p.h + 2 * p.pad - p.window) / p.stride + 1;
    p.out_w = (p.w + 2 * p.pad - p.window) / p.stride + 1;
    return p;
}

// The place in the map of position a of the window of output i; false: beside it.
static bool place_of(const struct shk_avg_pool *p, size_t i, size_t a, size_t *place) {
    const size_t y = i / p->c / p->out_w * p->stride + a / p->window,
                 x = i / p->c % p->out_w * p->stride + a % p->window;
    if (y < p->pad || x < p->pad || y - p->pad >= p->h || x - p->pad >= p->w) return false;
    *place = ((y - p->pad) * p->w + x - p->pad) * p->c + i % p->c;
    return true;
}

static void means_of_windows(void **state) {
    (void)state;
    for (int trial = 0; trial < 100; trial++) {
        struct shk_avg_pool p = random_shape();
        const size_t map = p.h * p.w * p.c, n = p.out_h * p.out_w * p.c;
        const float share = 1.0f / (float)(p.window * p.window);
        float *want = kt_floats(n);
        p.in = kt_random(map, -1, 1);
        for (size_t i = 0; i < n; i++) {
            float sum = 0;
            for (size_t a = 0, at; a < p.window * p.window; a++)
                if (place_of(&p, i, a, &at)) sum += p.in[at];
            want[i] = sum * share;
        }
        KT_FOR_ISAS(kernels) {
            p.out = kt_floats(n);
            kernels->avg_pool_forward(&p);
            kt_same_bits("avg_pool_forward", kernels->isa, p.out, want, n, p.c);
            kt_free(p.out);
        }
        kt_free(p.in);
        kt_free(want);
    }
}

static void shares_of_gradients(void **state) {
    (void)state;
    for (int trial = 0; trial < 100; trial++) {
        struct shk_avg_pool p = random_shape();
        const size_t map = p.h * p.w * p.c, n = p.out_h * p.out_w * p.c;
        const float share = 1.0f / (float)(p.window * p.window);
        float *before = kt_random(map, -1, 1), *want = kt_copy(before, map);
        p.out = kt_random(n, -1, 1);
        for (size_t i = 0; i < n; i++)
            for (size_t a = 0, at; a < p.window * p.window; a++)
                if (place_of(&p, i, a, &at)) want[at] = fmaf(p.out[i], share, want[at]);
        KT_FOR_ISAS(kernels) {
            p.in = kt_copy(before, map);
            kernels->avg_pool_backward(&p);
            kt_same_bits("avg_pool_backward", kernels->isa, p.in, want, map, p.c);
            kt_free(p.in);
        }
        kt_free(p.out);
        kt_free(before);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(means_of_windows), cmocka_unit_test(shares_of_gradients))
