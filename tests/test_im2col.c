// SPDX-License-Identifier: MIT
// These tests hold the rows of a convolution, and the way back, against plain loops.
#include "kernel_test.h"

// A random shape; c is any, or a multiple of 16.
static struct shk_im2col random_shape(bool vectors) {
    static const size_t kernels[] = {1, 3, 5, 7};
    struct shk_im2col a = {.kernel = kernels[kt_below(4)], .stride = 1 + kt_below(3), .pad = kt_below(4)};
    a.h = a.kernel + kt_below(9);
    a.w = a.kernel + kt_below(9);
    a.c = vectors ? 16 * (1 + kt_below(3)) : 1 + kt_below(5);
    a.out_w = (a.w + 2 * a.pad - a.kernel) / a.stride + 1;
    const size_t outputs = ((a.h + 2 * a.pad - a.kernel) / a.stride + 1) * a.out_w;
    a.first = kt_below(outputs);
    a.rows = 1 + kt_below(outputs - a.first);
    return a;
}

static size_t row_of(const struct shk_im2col *a) { return a->kernel * a->kernel * a->c; }

// Where element i of the rows comes from; -1: from outside of the map.
static ptrdiff_t source_of(const struct shk_im2col *a, size_t i) {
    const size_t output = a->first + i / row_of(a), tap = i % row_of(a) / a->c;
    const ptrdiff_t y = (ptrdiff_t)(output / a->out_w * a->stride + tap / a->kernel) - (ptrdiff_t)a->pad;
    const ptrdiff_t x = (ptrdiff_t)(output % a->out_w * a->stride + tap % a->kernel) - (ptrdiff_t)a->pad;
    if (y < 0 || x < 0 || y >= (ptrdiff_t)a->h || x >= (ptrdiff_t)a->w) return -1;
    return (y * (ptrdiff_t)a->w + x) * (ptrdiff_t)a->c + (ptrdiff_t)(i % a->c);
}

static void rows_are_what_taps_see(void **state) {
    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        struct shk_im2col a = random_shape(trial % 2);
        const size_t map = a.h * a.w * a.c, n = a.rows * row_of(&a);
        a.map = kt_floats_any(map);
        kt_fill(a.map, map, -1, 1);
        float *want = kt_floats(n);
        for (size_t i = 0; i < n; i++) want[i] = source_of(&a, i) < 0 ? 0 : a.map[source_of(&a, i)];
        KT_FOR_ISAS(kernels) {
            a.cols = kt_floats(n);
            kernels->im2col(&a);
            kt_same_bits("im2col", kernels->isa, a.cols, want, n, row_of(&a));
            kt_free(a.cols);
        }
        kt_free(a.map);
        kt_free(want);
    }
}

static void gradients_go_back(void **state) {
    (void)state;
    for (int trial = 0; trial < 100; trial++) {
        struct shk_im2col a = random_shape(true);
        const size_t map = a.h * a.w * a.c, n = a.rows * row_of(&a);
        float *before = kt_random(map, -1, 1), *want = kt_copy(before, map);
        a.cols = kt_random(n, -1, 1);
        for (size_t i = 0; i < n; i++)
            if (source_of(&a, i) >= 0) want[source_of(&a, i)] += a.cols[i];
        KT_FOR_ISAS(kernels) {
            a.map = kt_copy(before, map);
            kernels->col2im(&a);
            kt_same_bits("col2im", kernels->isa, a.map, want, map, a.c);
            kt_free(a.map);
        }
        kt_free(a.cols);
        kt_free(before);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(rows_are_what_taps_see), cmocka_unit_test(gradients_go_back))
