// SPDX-License-Identifier: MIT
// The products of a block of tiles at Winograd's 36 positions with 16 output channels are made here.
#ifndef SHK_SIMD_WINOGRAD_PRODUCTS_H
#define SHK_SIMD_WINOGRAD_PRODUCTS_H

#include "winograd_parts.h"

// Blocks of TILES tiles; register blocks of GROUP tiles by 16 output channels.
#if defined(SHK_ISA_AVX512)
#define GROUP 4
#else
#define GROUP 6
#endif
enum { TILES = SHK_CONV3X3_TILES };
#ifdef __clang__
#define UNROLL4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL4 _Pragma("GCC unroll 4")
#endif
#define M_STEP (TILES * 16 + 16)

// A block of tiles, and a panel of output channels.
struct block {
    size_t k;          // input channels
    size_t n;          // tiles
    const float *u;    // [36][k][16]: the transformed weights
    const float *bias; // [16]; or NULL
    size_t v_step;     // floats from a position of v to the next
    float *v;          // [36][k / 16][TILES][16]: the transformed input
    float *m;          // [36][TILES][16]: their products; or [4][6][TILES][16]: these, columns transformed
};

// s[4][6] of a tile, its columns transformed.
SHK_INLINE void load_columns(const float *m, vf *s) {
#ifdef SHK_ISA_AVX512
    SHK_UNROLL
    for (int i = 0; i < 24; i++) s[i] = vf_load(m + i * M_STEP);
#else
    SHK_UNROLL
    for (int x = 0; x < 6; x++) {
        vf p[6];
        SHK_UNROLL
        for (int y = 0; y < 6; y++) p[y] = vf_load(m + (6 * y + x) * M_STEP);
        transform_output_six(p, s + x, 6);
    }
#endif
}

// Some of the input channels.
struct depth {
    size_t first, end; // first: a multiple of 16
};

// The products of six positions, a column (AVX-512) or a row, for `tiles` tiles from `tile` on and 16 output channels.
typedef void product_function(const struct block *, size_t six, size_t tile, struct depth);

#ifdef SHK_ISA_AVX512

// A column's weights stay in L1 while the block's tiles take them: so many input channels of them.
enum { DEPTH = 64 };

// Where the sums over the channels before lie, behind the products of the tiles' columns: [TILES][6][16].
SHK_INLINE float *partial_of(const struct block *s, size_t tile) { return s->m + 24 * M_STEP + tile * 96; }

SHK_INLINE void begin_sums(const int tiles, const struct block *s, size_t x, vf *acc) {
    SHK_UNROLL
    for (int i = 0; i < tiles * 6; i++) acc[i] = vf_zero();
    if (x == 1 && s->bias) {
        SHK_UNROLL
        for (int t = 0; t < tiles; t++) acc[6 * t + 1] = vf_load(s->bias);
    }
}

// A column's six positions in registers, and when they are complete from there through A^T.
SHK_INLINE void product(const int tiles, const struct block *s, size_t x, size_t tile, struct depth d) {
    const size_t cin = s->k;
    struct column u = column_of(s->u + (x * cin + d.first) * 16, (ptrdiff_t)(6 * cin * 16));
    struct column v = column_of(s->v + x * s->v_step + 16 * tile + d.first * TILES, (ptrdiff_t)(6 * s->v_step));
    vf acc[GROUP * 6];
    if (d.first == 0) {
        begin_sums(tiles, s, x, acc);
    } else {
        SHK_UNROLL
        for (int i = 0; i < tiles * 6; i++) acc[i] = vf_load(partial_of(s, tile) + 16 * i);
    }
    size_t left = d.end - d.first;
    for (; left >= 16; left -= 16, advance_column(&v, TILES * 16 - 16)) {
        for (int i = 0; i < 4; i++, advance_column(&v, 4), advance_column(&u, 64)) {
            SHK_UNROLL
            for (int ci = 0; ci < 4; ci++) product_step(tiles, 16, &v, &u, ci, acc);
        }
    }
    for (; left; left--, advance_column(&v, 1), advance_column(&u, 16)) product_step(tiles, 16, &v, &u, 0, acc);
    if (d.end < cin) {
        SHK_UNROLL
        for (int i = 0; i < tiles * 6; i++) vf_store(partial_of(s, tile) + 16 * i, acc[i]);
        return;
    }
    float *m = s->m + x * M_STEP + 16 * tile;
    SHK_UNROLL
    for (int t = 0; t < tiles; t++) {
        vf z[4];
        transform_output_six(acc + 6 * t, z, 1);
        SHK_UNROLL
        for (int r = 0; r < 4; r++) vf_store(m + 6 * r * M_STEP + 16 * t, z[r]);
    }
}

#else

enum { DEPTH = 1 << 20 }; // all: a position's weights are a sixth of a column's

// A row's six positions.
SHK_INLINE void product(const int tiles, const struct block *s, size_t y, size_t tile, struct depth d) {
    (void)d;
    const size_t cin = s->k, v_step = s->v_step;
    const float *u = s->u + 6 * y * cin * 16;
    const float *position = s->v + 6 * y * v_step + 16 * tile;
    float *m = s->m + 6 * y * M_STEP + 16 * tile;
    for (size_t x = 0; x < 6; x++, position += v_step, m += M_STEP) {
        pv acc[GROUP * WIDTH];
        const float *v = position;
        SHK_UNROLL
        for (int i = 0; i < tiles * WIDTH; i++) acc[i] = pv_zero();
        if (x == 1 && y == 1 && s->bias) {
            SHK_UNROLL
            for (int i = 0; i < tiles * WIDTH; i++) acc[i] = pv_load(s->bias + i % WIDTH * PV_LANES);
        }
        size_t left = cin;
        for (; left >= 16; left -= 16, v += TILES * 16, u += 256) {
            UNROLL4
            for (int ci = 0; ci < 16; ci++) product_step(tiles, 16, v + ci, u + 16 * ci, acc);
        }
        for (; left; left--, v++, u += 16) product_step(tiles, 16, v, u, acc);
        SHK_UNROLL
        for (int i = 0; i < tiles * WIDTH; i++) pv_store(m + i / WIDTH * 16 + i % WIDTH * PV_LANES, acc[i]);
    }
}

#endif

#define PRODUCT(tiles)                                                                                                 \
    static __attribute__((noinline)) void product_##tiles(const struct block *s, size_t six, size_t tile,              \
                                                          struct depth d) {                                            \
        product(tiles, s, six, tile, d);                                                                               \
    }
PRODUCT(1)
PRODUCT(2)
PRODUCT(3)
PRODUCT(4)
#if GROUP > 4
PRODUCT(5)
PRODUCT(6)
static product_function *const products[GROUP] = {product_1, product_2, product_3, product_4, product_5, product_6};
#else
static product_function *const products[GROUP] = {product_1, product_2, product_3, product_4};
#endif

// All tiles of the block, in groups of like size.
static void multiply_tiles(const struct block *s, size_t six, struct depth d) {
    size_t tile = 0;
    for (size_t groups = (s->n + GROUP - 1) / GROUP; groups; groups--) {
        const size_t n = (s->n - tile + groups - 1) / groups;
        products[n - 1](s, six, tile, d);
        tile += n;
    }
}

// Six positions at a time, whose weights stay in L1 while the block's tiles take them.
static void multiply(const struct block *s) {
    for (size_t six = 0; six < POINTS / 6; six++)
        for (size_t k = 0; k < s->k; k += DEPTH)
            multiply_tiles(s, six, (struct depth){k, s->k - k < DEPTH ? s->k : k + DEPTH});
}

#endif
