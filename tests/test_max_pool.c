// SPDX-License-Identifier: MIT
// These tests hold the largest of windows, and the way of their gradients, against plain loops.
#include "kernel_test.h"

static struct shk_max_pool random_shape(void) {
    struct shk_max_pool p = {.c = 16 * (1 + kt_below(3)), .window = 1 + kt_below(4), .stride = 1 + kt_below(4)};
    p.pad = kt_below(p.window / 2 + 1);
    p.h = p.window + kt_below(8);
    p.w = p.window + kt_below(8);
    p.out_h = (p.h + 2 * p.pad - p.window) / p.stride + 1;
    p.out_w = (p.w + 2 * p.pad - p.window) / p.stride + 1;
    return p;
}

static size_t row_of(const struct shk_max_pool *p, size_t i, size_t a) {
    return i / p->c / p->out_w * p->stride + a / p->window;
}
static size_t column_of(const struct shk_max_pool *p, size_t i, size_t a) {
    return i / p->c % p->out_w * p->stride + a % p->window;
}

// Whether position a of the window of output i lies in the map, and where.
static bool is_inside(const struct shk_max_pool *p, size_t i, size_t a) {
    const size_t y = row_of(p, i, a), x = column_of(p, i, a);
    return y >= p->pad && x >= p->pad && y < p->h + p->pad && x < p->w + p->pad;
}
static size_t place_of(const struct shk_max_pool *p, size_t i, size_t a) {
    return ((row_of(p, i, a) - p->pad) * p->w + column_of(p, i, a) - p->pad) * p->c + i % p->c;
}

static size_t first_of(const struct shk_max_pool *p, size_t i) {
    size_t a = 0;
    while (!is_inside(p, i, a)) a++;
    return a;
}

// The first position that has the largest value, of which a NaN is larger than any.
static uint8_t winner_of(const struct shk_max_pool *p, size_t i) {
    size_t best = first_of(p, i);
    for (size_t a = best + 1; a < p->window * p->window; a++) {
        if (!is_inside(p, i, a)) continue;
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
        struct shk_max_pool p = random_shape();
        const size_t map = p.h * p.w * p.c, n = p.out_h * p.out_w * p.c;
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
        struct shk_max_pool p = random_shape();
        const size_t map = p.h * p.w * p.c, n = p.out_h * p.out_w * p.c;
        float *before = kt_random(map, -1, 1), *want = kt_copy(before, map);
        p.out = kt_random(n, -1, 1);
        p.winners = kt_bytes(n);
        for (size_t i = 0; i < n; i++) {
            do p.winners[i] = (uint8_t)kt_below(p.window * p.window);
            while (!is_inside(&p, i, p.winners[i]));
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
