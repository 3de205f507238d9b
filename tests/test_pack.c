// SPDX-License-Identifier: MIT
// These tests hold packed columns against a plain loop.
#include "kernel_test.h"

static void pack_is_right(void **state) {
    (void)state;
    for (size_t width = 16; width <= 80; width += 16) {
        for (size_t groups = 0; groups <= 3; groups++) {
            const size_t rows = 1 + kt_below(40), src_row = kt_stride(groups * width), dst_group = rows * width + 16;
            float *src = kt_random(rows * src_row + 16, -1, 1), *want = kt_floats(groups * dst_group + 16);
            for (size_t g = 0; g < groups; g++)
                for (size_t r = 0; r < rows; r++)
                    for (size_t j = 0; j < width; j++)
                        want[g * dst_group + r * width + j] = src[r * src_row + g * width + j];
            KT_FOR_ISAS(kernels) {
                float *dst = kt_floats(groups * dst_group + 16);
                kernels->pack(
                    &(struct shk_pack){rows, groups, width, src, (ptrdiff_t)src_row, dst, (ptrdiff_t)dst_group});
                kt_same_bits("pack", kernels->isa, dst, want, groups * dst_group, 0);
                kt_free(dst);
            }
            kt_free(src);
            kt_free(want);
        }
    }
}

KT_MAIN(cmocka_unit_test(pack_is_right))
