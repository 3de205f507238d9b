// SPDX-License-Identifier: MIT
// These tests hold the largest of windows, and the way of their gradients, against plain loops.
#include "kernel_test.h"

static struct shk_max_pool random_shape(size_t *h) {
    struct shk_max_pool p = {.c = 16 * (1 + kt_below(3)), .window = 1 + kt_below(4), .stride = 1 + kt_below(4)};
    *h = p.window + kt_below(8);
    p.w = p.window + kt_below(8);
    p.out_h = (*h - p.window) / p.stride + 1;
    p.out_w = (p.w - p.window) / p.stride + 1;
    return p;
}

// The place of position a of the window of output i.
static size_t place_of(const struct shk_max_pool *p, size_t i, size_t a) {
    const size_t y = i / p->c / p->out_w, x = i / p->c % p->out_w;
    return ((y * p->stride + a / p->window) * p->w + x * p->stride + a % p->window) * p->c + i % p->c;
}

// The first position that has the largest value, of which a NaN is larger than any.
static uint8_t winner_of(const struct shk_max_pool *p, size_t i) {
    size_t best = 0;
    for (size_t a = 1; a < p->window * p->window; a++) {
        const float v = p->in[place_of(p, i, a)], most = p->in[place_of(p, i, best)];
        if (v > most || (isnan(v) && !isnan(most))) best = a;
    }
    return (uint8_t)best;
}

// Few values, so that some are equal; some are none.
static void fill_odd(float *x, size_t n) {
    static const float odd[] = {0, -0.0f, 1, -1, INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) {
        const size_t draw = kt_below(40);
        x[i] = draw == 0 ? NAN : draw <= 6 ? odd[draw - 1] : (float)kt_below(8) - 4;
    }
}

static void the_largest_wins(void **state) {
    (void)state;
    for (int trial = 0; trial < 100; trial++) {
        size_t h;
        struct shk_max_pool p = random_shape(&h);
        const size_t map = h * p.w * p.c, n = p.out_h * p.out_w * p.c;
        p.in = kt_floats(map);
        fill_odd(p.in, map);
        KT_FOR_ISAS(kernels) {
            p.out = kt_floats(n);
            p.winners = kt_bytes(n);
            kernels->max_pool_forward(&p);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(p.winners[i], winner_of(&p, i));
                assert_int_equal(kt_bits(p.out[i]), kt_bits(p.in[place_of(&p, i, p.winners[i])]));
            }
            float *alone = kt_floats(n);
            uint8_t *winners = p.winners;
            float *out = p.out;
            p.winners = NULL;
            p.out = alone;
            kernels->max_pool_forward(&p);
            kt_same_bits("max_pool without winners", kernels->isa, alone, out, n, p.c);
            kt_free(alone);
            kt_free(out);
            kt_free(winners);
        }
        kt_free(p.in);
    }
}

static void gradients_go_to_the_winners(void **state) {
    (void)state;
    for (int trial = 0; trial < 100; trial++) {
        size_t h;
        struct shk_max_pool p = random_shape(&h);
        const size_t map = h * p.w * p.c, n = p.out_h * p.out_w * p.c;
        float *before = kt_random(map, -1, 1), *want = kt_copy(before, map);
        p.out = kt_random(n, -1, 1);
        p.winners = kt_bytes(n);
        for (size_t i = 0; i < n; i++) {
            p.winners[i] = (uint8_t)kt_below(p.window * p.window);
            want[place_of(&p, i, p.winners[i])] += p.out[i];
        }
        KT_FOR_ISAS(kernels) {
            p.in = kt_copy(before, map);
            kernels->max_pool_backward(&p);
            kt_same_bits("max_pool_backward", kernels->isa, p.in, want, map, p.c);
            kt_free(p.in);
        }
        kt_free(p.out);
        kt_free(p.winners);
        kt_free(before);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(the_largest_wins), cmocka_unit_test(gradients_go_to_the_winners))
