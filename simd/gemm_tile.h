// SPDX-License-Identifier: MIT
// The register tile of every matrix product is `rows` rows by `width` vec16 of C, held in registers over the whole of
// k. Rows and width are constants where it is inlined, so that all loops over them vanish and the accumulators stay in
// registers.
#ifndef SHK_SIMD_GEMM_TILE_H
#define SHK_SIMD_GEMM_TILE_H

#include "kernel.h"

#include <stdbool.h>

// The largest tile that leaves registers for the operands: GEMM_ROWS by GEMM_WIDTH; single rows and pairs take wider
// ones to hide the latency of FMA. Enough chains in flight matter more than the reuse of operands. The last steps of k
// are left to the end of the tile, where it goes row by row, so that each row's stores are among the sums of those
// behind it: as many stores at once would keep the FMA units waiting. For their rows of B there are registers too.
#if defined(SHK_ISA_AVX512)
#define GEMM_ROWS 13
#define GEMM_WIDTH 2
#define GEMM_ACC 26
#define GEMM_LAST 3
#else
#define GEMM_ROWS 6
#define GEMM_WIDTH 1
#define GEMM_ACC 6
#define GEMM_LAST 2
#endif

#define GEMM_INLINE static inline __attribute__((always_inline))

// Where a step of k finds the tile's elements of A: row r at group[r / 3][offset[r % 3] + step].
struct gemm_rows {
    const float *group[5];
    ptrdiff_t offset[3];
};

// One step of k. sums [width] += B's row, unless NULL.
GEMM_INLINE void gemm_tile_step(const int rows, const int width, const struct gemm_rows *a, const int step,
                                const float *b, ptrdiff_t b_panel, vf acc[GEMM_ACC], vf *sums) {
    const bool once = rows == 2 || (rows == 3 && GEMM_ROWS > 6); // else gcc sees to it, or registers are few
    vf v[8], x = vf_zero();
    SHK_UNROLL
    for (int w = 0; w < width; w++) {
        v[w] = once ? vf_held(vf_load(b + w * b_panel)) : vf_load(b + w * b_panel);
        if (sums) sums[w] = vf_add(sums[w], v[w]);
    }
    SHK_UNROLL
    for (int t = 0; t < rows * width; t++) {
        const int r = t / width;
        if (t % width == 0) x = vf_set1(a->group[r / 3][a->offset[r % 3] + step]);
        acc[t] = vf_fma(x, v[t % width], acc[t]);
    }
}

// How a tile walks along k: A's rows lie in a row, so that four steps can be taken at once (with few registers gcc
// would spill); or one step at a time, and then B's columns are summed too, if wanted.
enum gemm_walk { GEMM_BY_FOUR, GEMM_BY_ONE };

// Rows of A are addressed as one of five pointers that stay plus one of three offsets that advance, and B's pointer
// counts the steps: integer work takes slots from FMA, and more pointers would be spilled.
GEMM_INLINE struct gemm_rows gemm_rows_of(const int rows, const float *a, ptrdiff_t a_row) {
    struct gemm_rows g = {.offset = {0, a_row, 2 * a_row}};
    SHK_UNROLL
    for (int p = 0; p < (rows + 2) / 3; p++) {
        g.group[p] = a + 3 * p * a_row;
        __asm__("" : "+r"(g.group[p])); // not to be computed again from its neighbour at every step
    }
    return g;
}

// acc[r*width + w] += A B over k steps, ascending, and sums [width] += B unless NULL. Advances a, and returns where b
// goes on.
GEMM_INLINE const float *gemm_tile_fma(const enum gemm_walk walk, const int rows, const int width, size_t k,
                                       struct gemm_rows *a, ptrdiff_t a_col, const float *b, ptrdiff_t b_row,
                                       ptrdiff_t b_panel, vf acc[GEMM_ACC], vf *sums) {
    const float *const end = b + (ptrdiff_t)k * b_row;
    if (walk == GEMM_BY_FOUR) {
        for (const float *const most = b + (ptrdiff_t)(k / 4 * 4) * b_row; b != most;) {
            SHK_UNROLL
            for (int step = 0; step < 4; step++, b += b_row)
                gemm_tile_step(rows, width, a, step, b, b_panel, acc, NULL);
            a->offset[0] += 4;
            a->offset[1] += 4;
            a->offset[2] += 4;
        }
    }
    for (; b != end; b += b_row) {
        gemm_tile_step(rows, width, a, 0, b, b_panel, acc, sums);
        a->offset[0] += a_col;
        a->offset[1] += a_col;
        a->offset[2] += a_col;
    }
    return b;
}

// The same of row r alone over `steps` more, whose rows of B are b [steps][width].
GEMM_INLINE void gemm_row_fma(const int steps, const int width, const int r, const struct gemm_rows *a, ptrdiff_t a_col,
                              const vf *b, vf *acc) {
    SHK_UNROLL
    for (int step = 0; step < steps; step++) {
        const vf x = vf_set1(a->group[r / 3][a->offset[r % 3] + step * a_col]);
        SHK_UNROLL
        for (int w = 0; w < width; w++) acc[w] = vf_fma(x, b[step * width + w], acc[w]);
    }
}

#endif
