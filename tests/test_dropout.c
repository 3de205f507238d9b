// SPDX-License-Identifier: MIT
// These tests hold dropout against plain loops, and its draws against Random123's.
#include "kernel_test.h"

#include <Random123/philox.h>

static struct shk_dropout_spec dropout_spec(double p) {
    const uint32_t threshold = (uint32_t)lround(p * 65536);
    return (struct shk_dropout_spec){
        threshold, 65536.0f / (float)(65536 - threshold), {{1, (uint32_t)kt_next()}, {7, (uint32_t)kt_next(), 3}}};
}

// The definition in dropout.h, with Random123's generator.
static bool element_is_kept(const struct shk_dropout_spec *spec, uint32_t e) {
    const uint32_t big = e / 128, j = e / 16 % 8, i = e % 16, *s = spec->stream.stream;
    const philox4x32_ctr_t counter = {{16 * big + i, s[0], s[1], s[2]}};
    const philox4x32_key_t key = {{spec->stream.key[0], spec->stream.key[1]}};
    const uint32_t word = philox4x32_R(7, counter, key).v[j / 2];
    return (j % 2 ? word >> 16 : word & 0xffff) >= spec->threshold;
}

struct drop {
    size_t rows, cols, x_row, residual_row, y_row;
    float *x, *residual, *want, *want_dx;
    uint16_t *mask;
    struct shk_dropout_mask draw;
    struct shk_dropout args;
};

static struct drop drop_make(size_t rows, size_t cols, double p, bool with_residual) {
    struct drop d = {rows, cols, kt_stride(cols), kt_stride(cols), kt_stride(cols), NULL, NULL, NULL, NULL, NULL,
                     {0},  {0}};
    d.x = kt_matrix(rows, cols, d.x_row, -1, 1);
    d.residual = with_residual ? kt_matrix(rows, cols, d.residual_row, -1, 1) : NULL;
    d.want = kt_floats(rows * d.y_row);
    d.want_dx = kt_floats(rows * d.y_row);
    d.mask = kt_bytes(shk_round16(rows * cols / 16) * sizeof *d.mask);
    d.draw = (struct shk_dropout_mask){rows * cols, NULL, dropout_spec(p), 128 * (uint32_t)kt_below(1000)};
    d.args = (struct shk_dropout){.rows = rows,
                                  .cols = cols,
                                  .x_row = (ptrdiff_t)d.x_row,
                                  .residual = d.residual,
                                  .residual_row = (ptrdiff_t)d.residual_row,
                                  .y_row = (ptrdiff_t)d.y_row,
                                  .scale = p > 0 ? d.draw.drop.scale : 1.25f, // without a mask, too
                                  .dy_row = (ptrdiff_t)d.x_row,
                                  .dx_row = (ptrdiff_t)d.y_row};
    memset(d.mask, 0, rows * cols / 16 * sizeof *d.mask);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++) {
            const size_t e = r * cols + c;
            const bool kept = element_is_kept(&d.draw.drop, d.draw.element + (uint32_t)e);
            const float scaled = d.x[r * d.x_row + c] * d.args.scale;
            const float start = with_residual ? d.residual[r * d.residual_row + c] : 0;
            d.want[r * d.y_row + c] = start + (kept ? scaled : 0);
            d.want_dx[r * d.y_row + c] = kept ? scaled : 0;
            if (kept) d.mask[e / 16] = (uint16_t)(d.mask[e / 16] | 1u << e % 16);
        }
    }
    return d;
}

static void drop_free(struct drop *d) {
    float *all[] = {d->x, d->residual, d->want, d->want_dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
    kt_free(d->mask);
}

// Equal where the matrices have columns; the strides differ.
static void same_columns(const char *what, const char *isa, const float *got, size_t got_row, const struct drop *d,
                         const float *want) {
    for (size_t r = 0; r < d->rows; r++) kt_same_bits(what, isa, got + r * got_row, want + r * d->y_row, d->cols, 0);
}

static void drop_case(size_t rows, size_t cols, double p, bool with_residual) {
    struct drop d = drop_make(rows, cols, p, with_residual);
    const size_t vectors = rows * cols / 16;
    KT_FOR_ISAS(kernels) {
        // The mask ends at the fault page: nothing past it is touched.
        uint16_t *mask = (uint16_t *)kt_bytes((vectors + 1) / 2 * 4);
        float *y = kt_floats(rows * d.y_row), *dx = kt_floats(rows * d.y_row);
        struct shk_dropout args = d.args;
        args.x = args.dy = d.x;
        args.y = y;
        if (d.draw.drop.threshold) {
            struct shk_dropout_mask draw = d.draw;
            args.mask = draw.mask = mask;
            kernels->dropout_mask(&draw);
            assert_memory_equal(mask, d.mask, vectors * sizeof *mask);
        }
        kernels->dropout_forward(&args);
        kt_same_bits("dropout_forward", kernels->isa, y, d.want, rows * d.y_row, d.y_row);
        args.dx = dx;
        kernels->dropout_backward(&args);
        kt_same_bits("dropout_backward", kernels->isa, dx, d.want_dx, rows * d.y_row, d.y_row);

        float *on_x = kt_copy(d.x, rows * d.x_row), *on_dy = kt_copy(d.x, rows * d.x_row);
        args.x = args.y = on_x;
        args.y_row = args.x_row;
        kernels->dropout_forward(&args);
        same_columns("dropout_forward on x", kernels->isa, on_x, d.x_row, &d, d.want);
        args.dy = args.dx = on_dy;
        args.dx_row = args.dy_row;
        kernels->dropout_backward(&args);
        same_columns("dropout_backward on dy", kernels->isa, on_dy, d.x_row, &d, d.want_dx);
        if (with_residual) {
            float *on_residual = kt_copy(d.residual, rows * d.residual_row);
            args.x = d.x;
            args.residual = args.y = on_residual;
            args.y_row = args.residual_row;
            kernels->dropout_forward(&args);
            same_columns("dropout_forward on residual", kernels->isa, on_residual, d.residual_row, &d, d.want);
            kt_free(on_residual);
        }
        kt_free(on_x);
        kt_free(on_dy);
        kt_free(y);
        kt_free(dx);
        kt_free(mask);
    }
    drop_free(&d);
}

static void dropout_is_right(void **state) {
    (void)state;
    static const double rates[] = {0.1, 0, 0.5, 0.9, 1.0 / 65536};
    for (size_t cols = 16; cols <= 16 * 10; cols += 16)
        for (size_t i = 0; i < 10; i++) drop_case(1 + kt_below(12), cols, rates[i / 2], i % 2);
}

// Rows handed out in pieces that begin at a multiple of 128 elements draw what one call draws.
static void dropout_does_not_depend_on_the_split(void **state) {
    (void)state;
    for (size_t cols = 16; cols <= 16 * 9; cols += 16) {
        const size_t rows = 24;
        struct drop d = drop_make(rows, cols, 0.3, true);
        KT_FOR_ISAS(kernels) {
            uint16_t *mask = kt_bytes(rows * cols / 16 * sizeof *mask);
            for (size_t r = 0; r < rows; r += 8) { // 8 rows of 16 columns are 128 elements
                struct shk_dropout_mask draw = d.draw;
                draw.n = 8 * cols;
                draw.mask = mask + r * cols / 16;
                draw.element += (uint32_t)(r * cols);
                kernels->dropout_mask(&draw);
            }
            assert_memory_equal(mask, d.mask, rows * cols / 16 * sizeof *mask);
            kt_free(mask);
        }
        drop_free(&d);
    }
}

static void dropout_keeps_the_right_share(void **state) {
    (void)state;
    enum { ROWS = 4096, COLS = 256 };
    static const double rates[] = {0.01, 0.1, 0.25, 0.5, 0.9};
    const double n = (double)ROWS * COLS;
    uint16_t *mask = kt_bytes(ROWS * COLS / 16 * sizeof *mask);
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
        const struct shk_dropout_mask draw = {ROWS * COLS, mask, dropout_spec(rates[k]), 0};
        kt_reference()->dropout_mask(&draw);
        double kept = 0;
        for (size_t i = 0; i < ROWS * COLS; i++) kept += mask[i / 16] >> i % 16 & 1;
        const double p = (double)draw.drop.threshold / 65536, sigma = sqrt(n * p * (1 - p));
        if (fabs(kept - n * (1 - p)) > 5 * sigma)
            fail_msg("p %g: kept %g of %g, %g sigma off", p, kept, n, (kept - n * (1 - p)) / sigma);
    }
    kt_free(mask);
}

// A mask on the stack, of rows that are no multiple of 128 elements.
static void mask_has_the_bits_of_philox(void **state) {
    (void)state;
    enum { ROWS = 3, COLS = 176, ELEMENT = 384 };
    uint16_t mask[ROWS * COLS / 16];
    const struct shk_dropout_spec spec = {
        .threshold = 20000, .scale = 65536.0f / 45536, .stream = {{0x12345678u, 0x9abcdef0u}, {7, 0xffffffffu, 42}}};
    for (size_t k = 0; shk_kernels_at(k); k++) {
        struct shk_dropout_mask draw = {ROWS * COLS, mask, spec, ELEMENT};
        shk_kernels_at(k)->dropout_mask(&draw);
        for (uint32_t i = 0; i < ROWS * COLS; i++) {
            assert_int_equal(mask[i / 16] >> i % 16 & 1, element_is_kept(&spec, ELEMENT + i));
        }
    }
}

KT_MAIN(cmocka_unit_test(dropout_is_right), cmocka_unit_test(dropout_does_not_depend_on_the_split),
        cmocka_unit_test(dropout_keeps_the_right_share), cmocka_unit_test(mask_has_the_bits_of_philox))
