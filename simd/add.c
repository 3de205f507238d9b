// SPDX-License-Identifier: MIT
// add goes through its operands once.
#include "kernel.h"

void SHK_KERNEL(add)(const struct shk_add *args) {
    const float *x = args->x;
    float *y = args->y;
    for (size_t r = 0; r < args->rows; r++) {
        for (size_t i = 0; i < args->cols; i += 16) vf_store(y + i, vf_add(vf_load(y + i), vf_load(x + i)));
        x += args->x_row;
        y += args->y_row;
    }
}
