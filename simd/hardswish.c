// SPDX-License-Identifier: MIT
// hardswish_forward takes sixteen inputs at a time.
#include "kernel.h"

void SHK_KERNEL(hardswish_forward)(const struct shk_hardswish *args) {
    const vf one = vf_set1(1), half = vf_set1(0.5f), sixth = vf_set1(1.0f / 6), third = vf_set1(1.0f / 3);
    for (size_t i = 0; i < args->n; i += 16) {
        const vf x = vf_load(args->x + i), g = vf_min(one, vf_max(vf_zero(), vf_fma(x, sixth, half)));
        const vm between = vm_and(vf_gt(g, vf_zero()), vf_lt(g, one));
        vf_store(args->y + i, vf_mul(x, g));
        if (args->derivative) vf_store(args->derivative + i, vf_select(between, vf_fma(x, third, half), g));
    }
}
