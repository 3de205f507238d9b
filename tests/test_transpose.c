// SPDX-License-Identifier: MIT
// These tests hold transposed blocks against a plain loop.
#include "kernel_test.h"

static void transpose_is_right(void **state) {
    (void)state;
    for (size_t blocks = 1; blocks <= 6; blocks++) {
        // Blocks side by side in the source and one below the other in the result, then the reverse.
        for (int way = 0; way < 2; way++) {
            const size_t wide = kt_stride(16 * blocks), narrow = 16 + 16 * kt_below(3);
            const size_t src_row = way ? narrow : wide, src_block = way ? 16 * narrow : 16;
            const size_t dst_row = way ? wide : narrow, dst_block = way ? 16 : 16 * narrow;
            const size_t src_size = way ? 16 * blocks * narrow : 16 * wide;
            const size_t dst_size = way ? 16 * wide : 16 * blocks * narrow;
            float *src = kt_random(src_size, -1, 1), *want = kt_floats(dst_size);
            for (size_t b = 0; b < blocks; b++)
                for (size_t i = 0; i < 16; i++)
                    for (size_t j = 0; j < 16; j++)
                        want[b * dst_block + i * dst_row + j] = src[b * src_block + j * src_row + i];
            KT_FOR_ISAS(kernels) {
                float *dst = kt_floats(dst_size);
                const struct shk_transpose args = {blocks,
                                                   src,
                                                   (ptrdiff_t)src_row,
                                                   (ptrdiff_t)src_block,
                                                   dst,
                                                   (ptrdiff_t)dst_row,
                                                   (ptrdiff_t)dst_block};
                kernels->transpose(&args);
                kt_same_bits("transpose", kernels->isa, dst, want, dst_size, dst_row);
                kt_free(dst);
            }
            kt_free(src);
            kt_free(want);
        }
    }
}

KT_MAIN(cmocka_unit_test(transpose_is_right))
