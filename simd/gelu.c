// SPDX-License-Identifier: MIT
// gelu_forward takes vf_gelu of every input.
#include "kernel.h"
#include "vec16_gelu.h"

void SHK_KERNEL(gelu_forward)(const struct shk_gelu *args) {
    const float *x = args->x;
    float *y = args->y, *derivative = args->derivative;
    vf d;
    if (derivative) {
        for (size_t i = 0; i < args->n; i += 16) {
            vf_store(y + i, vf_gelu(vf_load(x + i), &d));
            vf_store(derivative + i, d);
        }
    } else {
        for (size_t i = 0; i < args->n; i += 16) vf_store(y + i, vf_gelu(vf_load(x + i), &d));
    }
}
