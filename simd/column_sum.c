// SPDX-License-Identifier: MIT
// column_sum keeps the sums of some columns in registers while the rows pass by.
#include "kernel.h"

// Columns are summed side by side: enough chains to hide the latency of an add.
enum { SIDE = 4 };

void SHK_KERNEL(column_sum)(const struct shk_column_sum *args) {
    const vf zero = vf_zero();
    size_t i = 0;
    for (; i + SIDE * 16 <= args->cols; i += SIDE * 16) {
        const float *x = args->x + i;
        float *sum = args->sum + i;
        vf a = zero, b = zero, c = zero, d = zero;
        if (args->start) {
            a = vf_load(args->start + i);
            b = vf_load(args->start + i + 16);
            c = vf_load(args->start + i + 32);
            d = vf_load(args->start + i + 48);
        }
        for (size_t r = 0; r < args->rows; r++, x += args->row) {
            a = vf_add(a, vf_load(x));
            b = vf_add(b, vf_load(x + 16));
            c = vf_add(c, vf_load(x + 32));
            d = vf_add(d, vf_load(x + 48));
        }
        vf_store(sum, args->relu ? vf_max(zero, a) : a);
        vf_store(sum + 16, args->relu ? vf_max(zero, b) : b);
        vf_store(sum + 32, args->relu ? vf_max(zero, c) : c);
        vf_store(sum + 48, args->relu ? vf_max(zero, d) : d);
    }
    for (; i < args->cols; i += 16) {
        const float *x = args->x + i;
        vf a = args->start ? vf_load(args->start + i) : zero;
        for (size_t r = 0; r < args->rows; r++, x += args->row) a = vf_add(a, vf_load(x));
        vf_store(args->sum + i, args->relu ? vf_max(zero, a) : a);
    }
}
