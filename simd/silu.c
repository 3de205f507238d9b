// SPDX-License-Identifier: MIT
// silu_forward takes sixteen inputs at a time.
#include "kernel.h"
#include "vec16_math.h"

void SHK_KERNEL(silu_forward)(const struct shk_silu *args) {
    const vf one = vf_set1(1.0f);
    for (size_t i = 0; i < args->n; i += 16) {
        const vf x = vf_load(args->x + i), s = vf_div(one, vf_add(one, vf_exp(vf_neg(x))));
        vf_store(args->y + i, vf_mul(x, s));
        if (args->derivative) vf_store(args->derivative + i, vf_mul(s, vf_fma(x, vf_sub(one, s), one)));
    }
}
