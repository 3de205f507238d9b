// SPDX-License-Identifier: MIT
// concat goes through its rows once; what is left of a row behind whole vectors goes through a mask.
#include "kernel.h"

void SHK_KERNEL(concat)(const struct shk_concat *a) {
    const float *x = a->x;
    float *y = a->y;
    const size_t left = a->cols % 16, whole = a->cols - left;
    for (size_t r = 0; r < a->rows; r++, x += a->x_row, y += a->y_row) {
        for (size_t c = 0; c < whole; c += 16) {
            const vf v = vf_loadu(x + c);
            vf_storeu(y + c, a->accumulate ? vf_add(vf_loadu(y + c), v) : v);
        }
        if (left == 0) continue;
        const vf v = vf_load_n(x + whole, left);
        vf_store_n(y + whole, a->accumulate ? vf_add(vf_load_n(y + whole, left), v) : v, left);
    }
}
