// SPDX-License-Identifier: MIT
// sigmoid_forward takes sixteen inputs at a time.
#include "kernel.h"
#include "vec16_math.h"

void SHK_KERNEL(sigmoid_forward)(const struct shk_sigmoid *args) {
    const vf one = vf_set1(1);
    for (size_t i = 0; i < args->n; i += 16) {
        const vf s = vf_div(one, vf_add(one, vf_exp(vf_neg(vf_load(args->x + i)))));
        vf_store(args->y + i, s);
        if (args->derivative) vf_store(args->derivative + i, vf_mul(s, vf_sub(one, s)));
    }
}
