// SPDX-License-Identifier: MIT
// column_sum keeps the sums of some columns in registers while the rows pass by.
#include "kernel.h"

// Columns are summed side by side: enough chains to hide the latency of an add.
enum { SIDE = 4, BLOCK = 16 };

#define SUM_INLINE static inline __attribute__((always_inline))

// sums [width] += `rows` rows; returns the row behind them.
SUM_INLINE const float *add_rows(const int width, const struct shk_column_sum *args, const float *x, size_t rows,
                                 vf sums[SIDE]) {
    for (size_t r = 0; r < rows; r++, x += args->row) {
        SHK_UNROLL
        for (int w = 0; w < width; w++) sums[w] = vf_add(sums[w], vf_load(x + 16 * w));
    }
    return x;
}

SUM_INLINE void sum_columns(const int width, const struct shk_column_sum *args, size_t column) {
    const float *x = args->x + column;
    vf sums[SIDE];
    SHK_UNROLL
    for (int w = 0; w < width; w++) sums[w] = args->start ? vf_load(args->start + column + 16 * w) : vf_zero();
    if (!args->in_blocks) add_rows(width, args, x, args->rows, sums);
    for (size_t left = args->in_blocks ? args->rows : 0, rows; left; left -= rows) {
        vf block[SIDE];
        rows = left < BLOCK ? left : BLOCK;
        SHK_UNROLL
        for (int w = 0; w < width; w++) block[w] = vf_zero();
        x = add_rows(width, args, x, rows, block);
        SHK_UNROLL
        for (int w = 0; w < width; w++) sums[w] = vf_add(sums[w], block[w]);
    }
    SHK_UNROLL
    for (int w = 0; w < width; w++)
        vf_store(args->sum + column + 16 * w, args->relu ? vf_max(vf_zero(), sums[w]) : sums[w]);
}

void SHK_KERNEL(column_sum)(const struct shk_column_sum *args) {
    size_t i = 0;
    for (; i + SIDE * 16 <= args->cols; i += SIDE * 16) sum_columns(SIDE, args, i);
    for (; i < args->cols; i += 16) sum_columns(1, args, i);
}
