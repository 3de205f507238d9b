// SPDX-License-Identifier: MIT
// pack copies row by row, and asks for the rows to come.
#include "kernel.h"

// What comes from memory is asked for this many floats ahead: hardware stops at the end of each page.
enum { PACK_AHEAD = 4096 };

void SHK_KERNEL(pack)(const struct shk_pack *args) {
    const size_t cols = args->groups * args->width;
    const ptrdiff_t ahead = (ptrdiff_t)(cols ? (PACK_AHEAD + cols - 1) / cols : 0) * args->src_row;
    for (size_t r = 0; r < args->rows; r++) {
        const float *src = args->src + (ptrdiff_t)r * args->src_row;
        float *dst = args->dst + r * args->width;
        for (size_t g = 0; g < args->groups; g++) {
            for (size_t j = 0; j < args->width; j += 16) {
                __builtin_prefetch(src + ahead + j, 0, 2);
                vf_store(dst + j, vf_load(src + j));
            }
            src += args->width;
            dst += args->dst_group;
        }
    }
}
