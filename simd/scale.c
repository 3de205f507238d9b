// SPDX-License-Identifier: MIT
// scale goes down the rows of sixteen channels at a time.
#include "kernel.h"

void SHK_KERNEL(scale_forward)(const struct shk_scale *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const vf factor = vf_load(a->factor + c);
        for (size_t at = c; at < a->rows * a->cols; at += a->cols)
            vf_store(a->y + at, vf_mul(vf_load(a->x + at), factor));
    }
}

void SHK_KERNEL(scale_backward)(const struct shk_scale *a) {
    for (size_t c = 0; c < a->cols; c += 16) {
        const vf factor = vf_load(a->factor + c);
        vf sum = vf_zero();
        for (size_t at = c; at < a->rows * a->cols; at += a->cols) {
            const vf dy = vf_load(a->dy + at);
            sum = vf_fma(dy, vf_load(a->x + at), sum);
            vf_store(a->dx + at, a->accumulate ? vf_fma(dy, factor, vf_load(a->dx + at)) : vf_mul(dy, factor));
        }
        vf_store(a->dfactor + c, sum);
    }
}
