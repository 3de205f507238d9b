// SPDX-License-Identifier: MIT
// transpose takes a block of 16x16 through registers.
#include "kernel.h"

void SHK_KERNEL(transpose)(const struct shk_transpose *args) {
    for (size_t b = 0; b < args->blocks; b++) {
        const float *src = args->src + (ptrdiff_t)b * args->src_block;
        float *dst = args->dst + (ptrdiff_t)b * args->dst_block;
        vf r[16];
        for (int j = 0; j < 16; j++) r[j] = vf_load(src + j * args->src_row);
        vf_transpose16(r);
        for (int i = 0; i < 16; i++) vf_store(dst + i * args->dst_row, r[i]);
    }
}
