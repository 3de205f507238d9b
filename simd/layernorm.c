// SPDX-License-Identifier: MIT
// layernorm goes through groups of rows twice: for their statistics, and for what follows from them.
#include "columns.h"

// Vectors of each row that are taken at once through the rows of a group, with what belongs to the columns in
// registers; whether there are registers to fold the gradients' sums of several rows together.
#if defined(SHK_ISA_AVX512)
enum { OUTPUT_STRIP = 4, GRADIENT_STRIP = 4, FOLD_GRADIENTS = 1 };
#else
enum { OUTPUT_STRIP = 2, GRADIENT_STRIP = 1, FOLD_GRADIENTS = 0 };
#endif

// A group of rows and its statistics.
struct row_group {
    size_t row, count;
    _Alignas(64) float mean[GROUP], rstd[GROUP];
};

// sums[r] of so many rows, one or a group: of x, or with mean [rows] of the squares of x - mean.
SHK_INLINE void layernorm_sums(const int rows, const struct shk_layernorm *args, struct columns c, const float *x,
                               const float *mean, float *sums) {
    vf acc[GROUP];
    SHK_UNROLL
    for (int r = 0; r < rows; r++, x += args->x_row) {
        const vf m = mean ? vf_set1(mean[r]) : vf_zero();
        acc[r] = vf_zero();
        for (size_t i = 0; i < args->cols; i += 16) {
            vf v = vf_load(x + i);
            if (mean) v = vf_sub(m, v);
            if (i == c.full) v = vf_keep(c.tail, v);
            acc[r] = mean ? vf_fma(v, v, acc[r]) : vf_add(acc[r], v);
        }
        __asm__("" : "+r"(x)); // one pointer that advances: all rows' would be spilled
    }
    if (rows == GROUP)
        vf_store(sums, vf_sum16(acc));
    else
        *sums = vf_sum(acc[0]);
}

// The lanes of absent rows are those of rows of zeros.
SHK_INLINE void layernorm_group_sums(const struct shk_layernorm *args, struct columns c, const struct row_group *g,
                                     const float *mean, float *sums) {
    const float *x = args->x + (ptrdiff_t)g->row * args->x_row;
    if (g->count == GROUP) {
        layernorm_sums(GROUP, args, c, x, mean, sums);
        return;
    }
    vf_store(sums, vf_zero());
    for (size_t r = 0; r < g->count; r++, x += args->x_row)
        layernorm_sums(1, args, c, x, mean ? mean + r : NULL, sums + r);
}

SHK_INLINE void layernorm_mean(const struct shk_layernorm *args, struct columns c, size_t row, struct row_group *g) {
    g->row = row;
    g->count = row >= args->rows ? 0 : args->rows - row < GROUP ? args->rows - row : GROUP;
    layernorm_group_sums(args, c, g, NULL, g->mean);
    vf_store(g->mean, vf_div(vf_load(g->mean), vf_set1((float)args->cols)));
}

SHK_INLINE void layernorm_rstd(const struct shk_layernorm *args, struct columns c, struct row_group *g) {
    layernorm_group_sums(args, c, g, g->mean, g->rstd);
    const vf variance = vf_div(vf_load(g->rstd), vf_set1((float)args->cols));
    vf_store(g->rstd, vf_div(vf_set1(1.0f), vf_sqrt(vf_add(variance, vf_set1(args->eps)))));
}

// Columns i .. i + 16*strip - 1 of a group's rows; `lanes` < 16 in the partial vector.
SHK_INLINE void layernorm_strip(const struct shk_layernorm *args, const struct row_group *g, size_t i, const int strip,
                                size_t lanes) {
    const vm keep = vm_first(lanes);
    const float *x = args->x + (ptrdiff_t)g->row * args->x_row + i;
    float *y = args->y + (ptrdiff_t)g->row * args->y_row + i;
    vf gamma[OUTPUT_STRIP], beta[OUTPUT_STRIP];
    SHK_UNROLL
    for (int v = 0; v < strip; v++) {
        gamma[v] = vf_load(args->gamma + i + 16 * v);
        beta[v] = vf_load(args->beta + i + 16 * v);
    }
    for (size_t r = 0; r < g->count; r++, x += args->x_row, y += args->y_row) {
        const vf mean = vf_set1(g->mean[r]), rstd = vf_set1(g->rstd[r]);
        SHK_UNROLL
        for (int v = 0; v < strip; v++) {
            const vf xhat = vf_mul(vf_sub(vf_load(x + 16 * v), mean), rstd);
            const vf result = vf_fma(xhat, gamma[v], beta[v]);
            vf_store(y + 16 * v, lanes < 16 ? vf_keep(keep, result) : result);
        }
    }
}

SHK_INLINE void layernorm_output(const struct shk_layernorm *args, struct columns c, const struct row_group *g) {
    size_t i = 0;
    for (; i + 16 * OUTPUT_STRIP <= c.full; i += 16 * OUTPUT_STRIP) layernorm_strip(args, g, i, OUTPUT_STRIP, 16);
    for (; i < c.full; i += 16) layernorm_strip(args, g, i, 1, 16);
    if (c.partial) layernorm_strip(args, g, i, 1, args->cols - i);
    if (!args->stats) return;
    float *stats = args->stats + (ptrdiff_t)g->row * args->stats_row;
    for (size_t r = 0; r < g->count; r++, stats += args->stats_row) {
        stats[0] = g->mean[r];
        stats[1] = g->rstd[r];
    }
}

SHK_INLINE void layernorm(const struct shk_layernorm *args) {
    const struct columns c = columns_of(args->cols);
    struct row_group groups[2];
    layernorm_mean(args, c, 0, &groups[0]);
    layernorm_rstd(args, c, &groups[0]);
    // While one group is written the next one is summed, so that neither waits for the divisions and the square root.
    for (size_t row = 0, k = 0; row < args->rows; row += GROUP, k ^= 1) {
        layernorm_mean(args, c, row + GROUP, &groups[k ^ 1]);
        layernorm_output(args, c, &groups[k]);
        layernorm_rstd(args, c, &groups[k ^ 1]);
    }
}

void SHK_KERNEL(layernorm_forward)(const struct shk_layernorm *args) {
    struct shk_layernorm a = *args;
    if (args->cols == 64) { // without loops over columns
        a.cols = 64;
        layernorm(&a);
    } else {
        layernorm(&a);
    }
}

// What backward needs to know of each row: a = sum(g)/cols and b = sum(g*xhat)/cols, which are folded together: sums[h]
// are the a of rows h*HALF and up, then their b.
enum { HALF = GROUP / 2 };
struct gradient_stats {
    _Alignas(64) float sums[2][GROUP];
};

// sums of so many rows, one or half a group.
SHK_INLINE void layernorm_gradient_sums(const int rows, const struct shk_layernorm *args, struct columns c, size_t row,
                                        float *sums) {
    const float *x = args->x + (ptrdiff_t)row * args->x_row, *dy = args->dy + (ptrdiff_t)row * args->dy_row;
    const float *stats = args->stats + (ptrdiff_t)row * args->stats_row;
    vf acc[GROUP];
    SHK_UNROLL
    for (int r = 0; r < rows; r++, x += args->x_row, dy += args->dy_row, stats += args->stats_row) {
        const vf mean = vf_set1(stats[0]), rstd = vf_set1(stats[1]);
        vf a = vf_zero(), b = vf_zero();
        for (size_t i = 0; i < args->cols; i += 16) {
            vf g = vf_mul(vf_load(dy + i), vf_load(args->gamma + i)), xhat = vf_mul(vf_sub(vf_load(x + i), mean), rstd);
            if (i == c.full) {
                g = vf_keep(c.tail, g);
                xhat = vf_keep(c.tail, xhat);
            }
            a = vf_add(a, g);
            b = vf_fma(g, xhat, b);
        }
        acc[r] = a;
        acc[HALF + r] = b;
    }
    if (rows == HALF) {
        vf_store(sums, vf_sum16(acc));
    } else {
        sums[0] = vf_sum(acc[0]);
        sums[HALF] = vf_sum(acc[HALF]);
    }
}

SHK_INLINE void layernorm_gradient_stats(const struct shk_layernorm *args, struct columns c, size_t row, size_t count,
                                         struct gradient_stats *s) {
    size_t r = 0;
    vf_store(s->sums[0], vf_zero());
    vf_store(s->sums[1], vf_zero());
    for (; FOLD_GRADIENTS && r + HALF <= count; r += HALF)
        layernorm_gradient_sums(HALF, args, c, row + r, s->sums[r / HALF]);
    for (; r < count; r++) layernorm_gradient_sums(1, args, c, row + r, s->sums[r / HALF] + r % HALF);
    const vf cols = vf_set1((float)args->cols);
    for (int half = 0; half < 2; half++) vf_store(s->sums[half], vf_div(vf_load(s->sums[half]), cols));
}

// Columns i .. i + 16*strip - 1 of `count` rows, so that dgamma and dbeta stay in registers; `lanes` < 16 in the
// partial vector.
SHK_INLINE void layernorm_gradient_strip(const struct shk_layernorm *args, size_t row, size_t count, size_t i,
                                         const int strip, size_t lanes, bool accumulate,
                                         const struct gradient_stats *s) {
    const bool partial = lanes < 16;
    const vm keep = vm_first(lanes);
    const float *x = args->x + (ptrdiff_t)row * args->x_row + i;
    const float *dy = args->dy + (ptrdiff_t)row * args->dy_row + i;
    float *dx = args->dx + (ptrdiff_t)row * args->dx_row + i;
    const float *stats = args->stats + (ptrdiff_t)row * args->stats_row;
    vf gamma[GRADIENT_STRIP], dgamma[GRADIENT_STRIP], dbeta[GRADIENT_STRIP];
    SHK_UNROLL
    for (int v = 0; v < strip; v++) {
        gamma[v] = vf_load(args->gamma + i + 16 * v);
        dgamma[v] = vf_load(args->dgamma + i + 16 * v);
        dbeta[v] = vf_load(args->dbeta + i + 16 * v);
    }
    for (size_t r = 0; r < count;
         r++, x += args->x_row, dy += args->dy_row, dx += args->dx_row, stats += args->stats_row) {
        const float *const sums = s->sums[r / HALF] + r % HALF;
        const vf mean = vf_set1(stats[0]), rstd = vf_set1(stats[1]), a = vf_set1(sums[0]), b = vf_set1(sums[HALF]);
        SHK_UNROLL
        for (int v = 0; v < strip; v++) {
            const vf d = vf_load(dy + 16 * v), xhat = vf_mul(vf_sub(vf_load(x + 16 * v), mean), rstd);
            vf result = vf_mul(vf_fnma(xhat, b, vf_sub(vf_mul(d, gamma[v]), a)), rstd);
            dgamma[v] = vf_fma(d, xhat, dgamma[v]);
            dbeta[v] = vf_add(dbeta[v], d);
            if (accumulate) {
                const vf before = vf_load(dx + 16 * v);
                result = vf_add(before, result);
                vf_store(dx + 16 * v, partial ? vf_select(keep, result, before) : result);
            } else {
                vf_store(dx + 16 * v, partial ? vf_keep(keep, result) : result);
            }
        }
    }
    SHK_UNROLL
    for (int v = 0; v < strip; v++) {
        if (partial) {
            vf_store_n(args->dgamma + i + 16 * v, dgamma[v], lanes);
            vf_store_n(args->dbeta + i + 16 * v, dbeta[v], lanes);
        } else {
            vf_store(args->dgamma + i + 16 * v, dgamma[v]);
            vf_store(args->dbeta + i + 16 * v, dbeta[v]);
        }
    }
}

SHK_INLINE void layernorm_gradient(const struct shk_layernorm *args, struct columns c, size_t row, size_t count,
                                   bool accumulate, const struct gradient_stats *s) {
    enum { STRIP = GRADIENT_STRIP };
    size_t i = 0;
    for (; i + 16 * STRIP <= c.full; i += 16 * STRIP)
        layernorm_gradient_strip(args, row, count, i, STRIP, 16, accumulate, s);
    for (; i < c.full; i += 16) layernorm_gradient_strip(args, row, count, i, 1, 16, accumulate, s);
    if (c.partial) layernorm_gradient_strip(args, row, count, i, 1, args->cols - i, accumulate, s);
}

SHK_INLINE void layernorm_gradients(const struct shk_layernorm *args) {
    const struct columns c = columns_of(args->cols);
    struct gradient_stats s;
    for (size_t row = 0; row < args->rows; row += GROUP) {
        const size_t count = args->rows - row < GROUP ? args->rows - row : GROUP;
        layernorm_gradient_stats(args, c, row, count, &s);
        if (args->accumulate)
            layernorm_gradient(args, c, row, count, true, &s);
        else
            layernorm_gradient(args, c, row, count, false, &s);
    }
}

void SHK_KERNEL(layernorm_backward)(const struct shk_layernorm *args) {
    struct shk_layernorm a = *args;
    if (args->cols == 64) { // without loops over columns
        a.cols = 64;
        layernorm_gradients(&a);
    } else {
        layernorm_gradients(&a);
    }
}
