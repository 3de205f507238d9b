// SPDX-License-Identifier: MIT
// square_sum is one chain of FMAs a lane.
#include "kernel.h"

void SHK_KERNEL(square_sum)(const struct shk_square_sum *args) {
    vf sum = vf_zero(), check = vf_zero();
    for (size_t i = 0; i < args->n; i += 16) {
        const vf x = vf_load(args->x + i);
        sum = vf_fma(x, x, sum);
        check = vf_fma(x, vf_zero(), check);
    }
    *args->sum = vf_sum(sum);
    if (vm_bits(vf_eq(check, vf_zero())) != 0xffff) *args->finite = false;
}
