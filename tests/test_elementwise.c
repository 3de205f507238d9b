// SPDX-License-Identifier: MIT
// Element-wise kernels against plain loops, dropout's draws against Random123, and every ISA against C.
#include "kernel_test.h"

#include <Random123/philox.h>

static const double pi = 3.14159265358979323846;

// rows x cols random values at stride ld, poison between the rows.
static float *matrix(size_t rows, size_t cols, size_t ld) {
    float *x = kt_floats(rows * ld);
    for (size_t r = 0; r < rows; r++) kt_fill(x + r * ld, cols, -1, 1);
    return x;
}

static size_t stride_for(size_t cols) { return cols + 16 * kt_below(3); }

// Keeps the first result as what the others must equal.
static void same_as_first(const char *what, const char *isa, float **first, float *got, size_t n, size_t row) {
    if (!*first) {
        *first = got;
        return;
    }
    kt_same_bits(what, isa, got, *first, n, row);
    kt_free(got);
}

// --- GELU

static void gelu_is_close(void **state) {
    (void)state;
    enum { N = 4096 };
    float *x = kt_floats(N), *y = kt_floats(N), *d = kt_floats(N);
    double want_y[N], want_d[N], size[N], worst_slope = 0;
    for (int pass = 0; pass < 50; pass++) {
        const float range = pass % 5 == 4 ? 1000 : pass % 5 == 3 ? 1e-3f : 10;
        kt_fill(x, N, -range, range);
        const struct shk_gelu args = {N, x, y, d};
        kt_reference()->gelu_forward(&args);
        for (int i = 0; i < N; i++) {
            const double v = (double)x[i], upper = 0.5 * erfc(-v / sqrt(2)), h = 1e-4;
            want_y[i] = v * upper;
            want_d[i] = upper + v * exp(-v * v / 2) / sqrt(2 * pi);
            size[i] = fmax(1, fabs(v));
            if (range > 10) continue;
            const double up = (v + h) * 0.5 * erfc(-(v + h) / sqrt(2)), down = (v - h) * 0.5 * erfc(-(v - h) / sqrt(2));
            worst_slope = fmax(worst_slope, fabs((up - down) / (2 * h) - want_d[i]));
        }
        kt_close("gelu", "c", y, want_y, size, N, 0, 3e-7);
        kt_close("gelu derivative", "c", d, want_d, NULL, N, 0, 3e-7);
    }
    assert_true(worst_slope < 1e-7);
    kt_report();
    kt_free(x);
    kt_free(y);
    kt_free(d);
}

static void gelu_has_the_same_bits(void **state) {
    (void)state;
    static const float special[16] = {0.0f, -0.0f, 1e-40f,  -1e-40f,  1e-30f, -1e-30f, 8,    -8,
                                      9,    -9,    3.4e38f, -3.4e38f, 13,     -13,     0.5f, -0.5f};
    for (size_t n = 16; n <= 16 * 12; n += 16) {
        float *x = kt_random(n, -9, 9), *first_y = NULL, *first_d = NULL;
        memcpy(x, special, sizeof special);
        KT_FOR_ISAS(kernels) {
            float *y = kt_floats(n), *d = kt_floats(n), *same = kt_copy(x, n), *alone = kt_floats(n);
            const struct shk_gelu args = {n, x, y, d}, in_place = {n, same, same, alone};
            kernels->gelu_forward(&args);
            kernels->gelu_forward(&in_place);
            kt_same_bits("gelu in place", kernels->isa, same, y, n, 0);
            kt_same_bits("gelu in place, derivative", kernels->isa, alone, d, n, 0);
            const struct shk_gelu forward = {n, x, alone, NULL};
            kernels->gelu_forward(&forward);
            kt_same_bits("gelu without derivative", kernels->isa, alone, y, n, 0);
            for (size_t i = 0; i < n; i++) assert_true(fpclassify(d[i]) != FP_SUBNORMAL && isfinite(d[i]));
            kt_free(same);
            kt_free(alone);
            same_as_first("gelu", kernels->isa, &first_y, y, n, 0);
            same_as_first("gelu derivative", kernels->isa, &first_d, d, n, 0);
        }
        kt_free(x);
        kt_free(first_y);
        kt_free(first_d);
    }
    KT_FOR_ISAS(kernels) {
        float *x = kt_random(16, -1, 1), *d = kt_floats(16);
        x[3] = NAN;
        x[7] = INFINITY;
        const struct shk_gelu args = {16, x, x, d};
        kernels->gelu_forward(&args);
        for (int i = 0; i < 16; i++) assert_true(!!isnan(x[i]) == (i == 3) && !!isnan(d[i]) == (i == 3));
        assert_true(isinf(x[7]) && d[7] == 1);
        kt_free(x);
        kt_free(d);
    }
}

// --- multiply, ReLU, add

static void multiply_is_right(void **state) {
    (void)state;
    for (size_t n = 16; n <= 16 * 12; n += 16) {
        float *a = kt_random(n, -1, 1), *b = kt_random(n, -1, 1), *want = kt_floats(n);
        for (size_t i = 0; i < n; i++) want[i] = a[i] * b[i];
        KT_FOR_ISAS(kernels) {
            float *y = kt_floats(n), *on_a = kt_copy(a, n), *on_b = kt_copy(b, n);
            const struct shk_multiply calls[3] = {{n, a, b, y}, {n, on_a, b, on_a}, {n, a, on_b, on_b}};
            for (int k = 0; k < 3; k++) {
                kernels->multiply(&calls[k]);
                kt_same_bits("multiply", kernels->isa, calls[k].y, want, n, 0);
                kt_free(calls[k].y);
            }
        }
        kt_free(a);
        kt_free(b);
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

static void add_is_right(void **state) {
    (void)state;
    for (size_t rows = 1; rows <= 20; rows++) {
        const size_t cols = 16 * (1 + kt_below(6)), x_row = stride_for(cols), y_row = stride_for(cols);
        float *x = matrix(rows, cols, x_row), *y = matrix(rows, cols, y_row), *want = kt_copy(y, rows * y_row);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) want[r * y_row + c] += x[r * x_row + c];
        KT_FOR_ISAS(kernels) {
            float *got = kt_copy(y, rows * y_row);
            const struct shk_add args = {rows, cols, x, (ptrdiff_t)x_row, got, (ptrdiff_t)y_row};
            kernels->add(&args);
            kt_same_bits("add", kernels->isa, got, want, rows * y_row, y_row);
            kt_free(got);
        }
        kt_free(x);
        kt_free(y);
        kt_free(want);
    }
}

// --- sums and transposition

static void column_sum_is_right(void **state) {
    (void)state;
    for (size_t cols = 16; cols <= 16 * 18; cols += 16) {
        const size_t rows = kt_below(40), row = stride_for(cols);
        float *x = matrix(rows + 1, cols, row), *start = kt_random(cols, -1, 1);
        for (int variant = 0; variant < 8; variant++) {
            const bool starts = variant & 1, in_place = variant & 2, relu = variant & 4;
            float *want = kt_floats(cols);
            for (size_t c = 0; c < cols; c++) {
                want[c] = starts ? start[c] : 0;
                for (size_t r = 0; r < rows; r++) want[c] += x[r * row + c];
                if (relu && want[c] < 0) want[c] = 0;
            }
            KT_FOR_ISAS(kernels) {
                float *sum = in_place ? kt_copy(start, cols) : kt_floats(cols);
                const struct shk_column_sum args = {
                    rows, cols, x, (ptrdiff_t)row, starts ? in_place ? sum : start : NULL, sum, relu};
                kernels->column_sum(&args);
                kt_same_bits("column_sum", kernels->isa, sum, want, cols, 0);
                kt_free(sum);
            }
            kt_free(want);
        }
        kt_free(x);
        kt_free(start);
    }
}

static void transpose_is_right(void **state) {
    (void)state;
    for (size_t blocks = 1; blocks <= 6; blocks++) {
        // Blocks side by side in the source and one below the other in the result, then the reverse.
        for (int way = 0; way < 2; way++) {
            const size_t wide = stride_for(16 * blocks), narrow = 16 + 16 * kt_below(3);
            const size_t src_row = way ? narrow : wide, src_block = way ? 16 * narrow : 16;
            const size_t dst_row = way ? wide : narrow, dst_block = way ? 16 : 16 * narrow;
            const size_t src_size = way ? 16 * blocks * narrow : 16 * wide;
            const size_t dst_size = way ? 16 * wide : 16 * blocks * narrow;
            float *src = kt_random(src_size, -1, 1), *want = kt_floats(dst_size);
            for (size_t b = 0; b < blocks; b++)
                for (size_t i = 0; i < 16; i++)
                    for (size_t j = 0; j < 16; j++)
                        want[b * dst_block + i * dst_row + j] = src[b * src_block + j * src_row + i];
            KT_FOR_ISAS(kernels) {
                float *dst = kt_floats(dst_size);
                const struct shk_transpose args = {blocks,
                                                   src,
                                                   (ptrdiff_t)src_row,
                                                   (ptrdiff_t)src_block,
                                                   dst,
                                                   (ptrdiff_t)dst_row,
                                                   (ptrdiff_t)dst_block};
                kernels->transpose_panel(&args);
                kt_same_bits("transpose_panel", kernels->isa, dst, want, dst_size, dst_row);
                kt_free(dst);
            }
            kt_free(src);
            kt_free(want);
        }
    }
}

static void pack_is_right(void **state) {
    (void)state;
    for (size_t width = 16; width <= 80; width += 16) {
        for (size_t groups = 0; groups <= 3; groups++) {
            const size_t rows = 1 + kt_below(40), src_row = stride_for(groups * width), dst_group = rows * width + 16;
            float *src = kt_random(rows * src_row + 16, -1, 1), *want = kt_floats(groups * dst_group + 16);
            for (size_t g = 0; g < groups; g++)
                for (size_t r = 0; r < rows; r++)
                    for (size_t j = 0; j < width; j++)
                        want[g * dst_group + r * width + j] = src[r * src_row + g * width + j];
            KT_FOR_ISAS(kernels) {
                float *dst = kt_floats(groups * dst_group + 16);
                kernels->pack(
                    &(struct shk_pack){rows, groups, width, src, (ptrdiff_t)src_row, dst, (ptrdiff_t)dst_group});
                kt_same_bits("pack", kernels->isa, dst, want, groups * dst_group, 0);
                kt_free(dst);
            }
            kt_free(src);
            kt_free(want);
        }
    }
}

// --- dropout

static struct shk_dropout_spec dropout_spec(double p) {
    const uint32_t threshold = (uint32_t)lround(p * 65536);
    return (struct shk_dropout_spec){
        threshold, 65536.0f / (float)(65536 - threshold), {{1, (uint32_t)kt_next()}, {7, (uint32_t)kt_next(), 3}}};
}

// The definition in kernels.h, with Random123's generator.
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
    struct drop d = {rows, cols, stride_for(cols), stride_for(cols), stride_for(cols), NULL, NULL, NULL, NULL, NULL,
                     {0},  {0}};
    d.x = matrix(rows, cols, d.x_row);
    d.residual = with_residual ? matrix(rows, cols, d.residual_row) : NULL;
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
                                  .scale = d.draw.drop.scale,
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

KT_MAIN(cmocka_unit_test(gelu_is_close), cmocka_unit_test(gelu_has_the_same_bits), cmocka_unit_test(multiply_is_right),
        cmocka_unit_test(relu_backward_is_right), cmocka_unit_test(add_is_right), cmocka_unit_test(column_sum_is_right),
        cmocka_unit_test(transpose_is_right), cmocka_unit_test(pack_is_right), cmocka_unit_test(dropout_is_right),
        cmocka_unit_test(dropout_does_not_depend_on_the_split), cmocka_unit_test(dropout_keeps_the_right_share))
