// SPDX-License-Identifier: MIT
// multiply goes through its operands once.
#include "kernel.h"

void SHK_KERNEL(multiply)(const struct shk_multiply *args) {
    for (size_t i = 0; i < args->n; i += 16) vf_store(args->y + i, vf_mul(vf_load(args->a + i), vf_load(args->b + i)));
}
