// SPDX-License-Identifier: MIT
// relu_forward lets pass what is positive, relu_backward the gradients where the output was.
#include "kernel.h"

void SHK_KERNEL(relu_forward)(const struct shk_relu_forward *args) {
    for (size_t i = 0; i < args->n; i += 16) vf_store(args->y + i, vf_max(vf_zero(), vf_load(args->x + i)));
}

void SHK_KERNEL(relu_backward)(const struct shk_relu_backward *args) {
    const vf scale = vf_set1(args->scale);
    for (size_t i = 0; i < args->n; i += 16) {
        const vm alive = vf_gt(vf_load(args->y + i), vf_zero());
        vf_store(args->dx + i, vf_keep(alive, vf_mul(vf_load(args->dy + i), scale)));
    }
}
