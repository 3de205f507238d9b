// SPDX-License-Identifier: MIT
// These tests hold layer normalisation against a double reference and central differences, and every ISA against C.
#include "kernel_test.h"

// Without the gaps between rows, which hold poison.
static float *dense(const float *x, size_t rows, size_t cols, size_t ld) {
    float *y = kt_floats(rows * cols);
    for (size_t r = 0; r < rows; r++) memcpy(y + r * cols, x + r * ld, cols * sizeof *y);
    return y;
}

struct norm {
    size_t rows, cols, x_row, y_row, dy_row, dx_row;
    float *x, *gamma, *beta, *dy, *dx, *dgamma, *dbeta; // dx, dgamma, dbeta: present values
    struct shk_layernorm args;
};

static struct norm norm_make(size_t rows, size_t cols) {
    struct norm n = {.rows = rows, .cols = cols};
    n.x_row = kt_stride(cols);
    n.y_row = kt_stride(cols);
    n.dy_row = kt_stride(cols);
    n.dx_row = kt_stride(cols);
    n.x = kt_matrix(rows, cols, n.x_row, -2, 3);
    n.gamma = kt_matrix(1, cols, shk_round16(cols), 0.5f, 1.5f);
    n.beta = kt_matrix(1, cols, shk_round16(cols), -1, 1);
    n.dy = kt_matrix(rows, cols, n.dy_row, -1, 1);
    n.dx = kt_matrix(rows, cols, n.dx_row, -1, 1);
    n.dgamma = kt_matrix(1, cols, shk_round16(cols), -1, 1);
    n.dbeta = kt_matrix(1, cols, shk_round16(cols), -1, 1);
    n.args = (struct shk_layernorm){.rows = rows,
                                    .cols = cols,
                                    .eps = cols % 2 ? 1e-3f : 1e-5f,
                                    .x = n.x,
                                    .x_row = (ptrdiff_t)n.x_row,
                                    .gamma = n.gamma,
                                    .beta = n.beta,
                                    .stats_row = 2,
                                    .y_row = (ptrdiff_t)n.y_row,
                                    .dy = n.dy,
                                    .dy_row = (ptrdiff_t)n.dy_row,
                                    .dx_row = (ptrdiff_t)n.dx_row};
    return n;
}

static void norm_free(struct norm *n) {
    float *all[] = {n->x, n->gamma, n->beta, n->dy, n->dx, n->dgamma, n->dbeta};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
}

// Mean and 1/sqrt(variance + eps) of one row; returns the mean square.
static double row_stats(const struct norm *n, const double *x, double *mean, double *rstd) {
    const size_t cols = n->cols;
    double sum = 0, square = 0, variance = 0;
    for (size_t c = 0; c < cols; c++) sum += x[c], square += x[c] * x[c];
    *mean = sum / (double)cols;
    for (size_t c = 0; c < cols; c++) variance += (x[c] - *mean) * (x[c] - *mean);
    *rstd = 1 / sqrt(variance / (double)cols + (double)n->args.eps);
    return square / (double)cols;
}

static void widen(const float *x, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
}

enum { MOST_COLS = 256 };

static void forward_case(size_t rows, size_t cols) {
    struct norm n = norm_make(rows, cols);
    float *want = NULL, *want_stats = NULL;
    KT_FOR_ISAS(kernels) {
        float *y = kt_floats(rows * n.y_row), *stats = kt_floats_any(2 * rows);
        struct shk_layernorm args = n.args;
        args.y = y;
        args.stats = stats;
        kernels->layernorm_forward(&args);
        kt_zero_pads(y, rows, cols, n.y_row);
        // In place, without statistics: the same values.
        float *same = kt_copy(n.x, rows * n.x_row);
        args.x = args.y = same;
        args.y_row = args.x_row;
        args.stats = NULL;
        kernels->layernorm_forward(&args);
        kt_zero_pads(same, rows, cols, n.x_row);
        float *a = dense(y, rows, cols, n.y_row), *b = dense(same, rows, cols, n.x_row);
        kt_same_bits("layernorm in place", kernels->isa, b, a, rows * cols, cols);
        kt_free(a);
        kt_free(b);
        kt_free(same);
        if (want) {
            kt_same_bits("layernorm", kernels->isa, y, want, rows * n.y_row, n.y_row);
            kt_same_bits("layernorm stats", kernels->isa, stats, want_stats, 2 * rows, 2);
            kt_free(y);
            kt_free(stats);
        } else {
            want = y;
            want_stats = stats;
        }
    }
    for (size_t r = 0; r < rows; r++) {
        double x[MOST_COLS], y[MOST_COLS], size[MOST_COLS], mean, rstd;
        widen(n.x + r * n.x_row, cols, x);
        const double square = row_stats(&n, x, &mean, &rstd);
        for (size_t c = 0; c < cols; c++) {
            const double xhat = (x[c] - mean) * rstd, g = (double)n.gamma[c], b = (double)n.beta[c];
            y[c] = xhat * g + b;
            size[c] = (fabs(x[c]) + fabs(mean)) * rstd * g * (1 + square * rstd * rstd) + fabs(b);
        }
        kt_close("layernorm", "c", want + r * n.y_row, y, size, cols, 0, 1e-6);
        const double stats[2] = {mean, rstd}, stats_size[2] = {sqrt(square), rstd * (1 + square * rstd * rstd)};
        kt_close("layernorm stats", "c", want_stats + 2 * r, stats, stats_size, 2, 0, 1e-6);
    }
    kt_free(want);
    kt_free(want_stats);
    norm_free(&n);
}

static void layernorm_forward_is_right(void **state) {
    (void)state;
    for (size_t cols = 1; cols <= 50; cols++) forward_case(1 + kt_below(35), cols);
    for (size_t rows = 1; rows <= 35; rows++) forward_case(rows, 64);
    forward_case(65, 192);
    kt_report();
}

// loss = sum of dy * y for one row
static double row_loss(const struct norm *n, const double *x, size_t row) {
    double mean, rstd, loss = 0;
    row_stats(n, x, &mean, &rstd);
    for (size_t c = 0; c < n->cols; c++)
        loss += (double)n->dy[row * n->dy_row + c] * ((x[c] - mean) * rstd * (double)n->gamma[c] + (double)n->beta[c]);
    return loss;
}

// Checks the C kernel's gradients (starting from the present values if `accumulate`).
static void check_gradients(const struct norm *n, bool accumulate, const float *dx, const float *dgamma,
                            const float *dbeta) {
    const size_t cols = n->cols;
    double dg[MOST_COLS], db[MOST_COLS], g_size[MOST_COLS], b_size[MOST_COLS];
    widen(n->dgamma, cols, dg);
    widen(n->dbeta, cols, db);
    for (size_t c = 0; c < cols; c++) g_size[c] = b_size[c] = 1;
    for (size_t r = 0; r < n->rows; r++) {
        double x[MOST_COLS], want[MOST_COLS], size[MOST_COLS], mean, rstd, a = 0, b = 0, most = 0;
        const float *dy = n->dy + r * n->dy_row;
        widen(n->x + r * n->x_row, cols, x);
        const double square = row_stats(n, x, &mean, &rstd), bad = 1 + square * rstd * rstd; // condition
        for (size_t c = 0; c < cols; c++) {
            const double xhat = (x[c] - mean) * rstd, d = (double)dy[c], g = d * (double)n->gamma[c];
            a += g / (double)cols;
            b += g * xhat / (double)cols;
            dg[c] += d * xhat;
            db[c] += d;
            g_size[c] += fabs(d) * (fabs(x[c]) + fabs(mean)) * rstd * bad;
            b_size[c] += fabs(d);
            most = fmax(most, fabs(g) * (1 + fabs(xhat)));
        }
        for (size_t c = 0; c < cols; c++) {
            const double xhat = (x[c] - mean) * rstd, g = (double)dy[c] * (double)n->gamma[c];
            const double before = accumulate ? (double)n->dx[r * n->dx_row + c] : 0;
            want[c] = before + (g - a - xhat * b) * rstd;
            size[c] = fabs(before) + 4 * most * (1 + fabs(xhat)) * rstd * bad * bad;
            if (rstd > 10) continue; // too steep for differences
            const double h = 1e-4, here = x[c];
            x[c] = here + h;
            const double up = row_loss(n, x, r);
            x[c] = here - h;
            const double down = row_loss(n, x, r);
            x[c] = here;
            const double slope = before + (up - down) / (2 * h);
            if (fabs(slope - want[c]) > 1e-5 * (1 + rstd * rstd * rstd) * (double)cols)
                fail_msg("reference: %g, central difference %g", want[c], slope);
        }
        kt_close("layernorm dx", "c", dx + r * n->dx_row, want, size, cols, 0, 1e-6);
    }
    kt_close("layernorm dgamma", "c", dgamma, dg, g_size, cols, 0, 1e-6);
    kt_close("layernorm dbeta", "c", dbeta, db, b_size, cols, 0, 1e-6);
}

static void backward_case(size_t rows, size_t cols, bool accumulate) {
    struct norm n = norm_make(rows, cols);
    const size_t padded = shk_round16(cols), area = rows * n.dx_row;
    n.args.stats_row = 2 + (ptrdiff_t)kt_below(20);
    float *stats = kt_floats_any(rows * (size_t)n.args.stats_row), *y = kt_floats(rows * n.y_row);
    n.args.y = y;
    n.args.stats = stats;
    kt_reference()->layernorm_forward(&n.args);
    kt_free(y);
    n.args.y = NULL;
    n.args.accumulate = accumulate;
    float *want[3] = {NULL, NULL, NULL};
    KT_FOR_ISAS(kernels) {
        float *got[3] = {kt_copy(n.dx, area), kt_copy(n.dgamma, padded), kt_copy(n.dbeta, padded)};
        struct shk_layernorm args = n.args;
        args.dx = got[0];
        args.dgamma = got[1];
        args.dbeta = got[2];
        kernels->layernorm_backward(&args);
        kt_zero_pads(got[0], rows, cols, n.dx_row);
        kt_zero_pads(got[1], 1, cols, padded);
        kt_zero_pads(got[2], 1, cols, padded);
        // dx is dy (what is accumulated on is then dy itself), against a dx that only holds the same values.
        const size_t dy_area = rows * n.dy_row;
        float *same = kt_copy(n.dy, dy_area), *apart = kt_copy(n.dy, dy_area);
        float *g = NULL, *b = NULL;
        args.dx_row = args.dy_row;
        for (int k = 0; k < 2; k++) {
            kt_free(g);
            kt_free(b);
            args.dx = k ? same : apart;
            args.dy = k ? same : n.dy;
            args.dgamma = g = kt_copy(n.dgamma, padded);
            args.dbeta = b = kt_copy(n.dbeta, padded);
            kernels->layernorm_backward(&args);
        }
        kt_same_bits("layernorm dx in place", kernels->isa, same, apart, dy_area, n.dy_row);
        kt_free(apart);
        kt_same_bits("layernorm dgamma in place", kernels->isa, g, got[1], padded, 0);
        kt_same_bits("layernorm dbeta in place", kernels->isa, b, got[2], padded, 0);
        kt_free(same);
        kt_free(g);
        kt_free(b);
        if (want[0]) {
            kt_same_bits("layernorm dx", kernels->isa, got[0], want[0], area, n.dx_row);
            kt_same_bits("layernorm dgamma", kernels->isa, got[1], want[1], padded, 0);
            kt_same_bits("layernorm dbeta", kernels->isa, got[2], want[2], padded, 0);
            for (int i = 0; i < 3; i++) kt_free(got[i]);
        } else {
            memcpy(want, got, sizeof want);
        }
    }
    check_gradients(&n, accumulate, want[0], want[1], want[2]);
    for (int i = 0; i < 3; i++) kt_free(want[i]);
    kt_free(stats);
    norm_free(&n);
}

static void layernorm_backward_is_right(void **state) {
    (void)state;
    for (size_t cols = 1; cols <= 50; cols++) backward_case(1 + kt_below(35), cols, cols % 2);
    for (size_t rows = 1; rows <= 35; rows++) backward_case(rows, 64, rows % 2);
    for (size_t cols = 2; cols <= 50; cols += 3) backward_case(3, cols, cols % 2 == 0);
    backward_case(65, 192, false);
    kt_report();
}

KT_MAIN(cmocka_unit_test(layernorm_forward_is_right), cmocka_unit_test(layernorm_backward_is_right))
