// SPDX-License-Identifier: MIT
// C = A B (kernels.h): tiles of C in registers, a strip of B's columns kept in L1 while the rows of A pass by.
#include "gemm_tile.h"
#include "kernels.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

// One tile of C = A B: its height and width are known from the function's name, a, b and c point at its part of the
// matrices, row and column say which part that is, `next` is the C of a next tile, which is fetched meanwhile. They are
// arguments, since what was just stored in a struct would have to be waited for.
typedef void tile_function(const struct shk_gemm *g, const float *a, const float *b, float *c, const float *next,
                           size_t column, size_t row);

// What follows the sums.
GEMM_INLINE void epilogue(const int rows, const int width, const struct shk_gemm *g, size_t column, size_t row,
                          vf acc[GEMM_ACC]) {
    if (g->relu) {
        SHK_UNROLL
        for (int t = 0; t < rows * width; t++) acc[t] = vf_max(vf_zero(), acc[t]);
    }
    if (g->keep) {
        const uint16_t *bits = g->keep + (ptrdiff_t)row * g->keep_row + column / 16;
        const vf scale = vf_set1(g->scale);
        SHK_UNROLL
        for (int r = 0; r < rows; r++, bits += g->keep_row) {
            SHK_UNROLL
            for (int t = r * width, w = 0; w < width; w++, t++)
                acc[t] = vf_keep(vm_from_bits(bits[w]), vf_mul(acc[t], scale));
        }
    }
    if (g->alive) {
        uint16_t *bits = g->alive + (ptrdiff_t)row * g->keep_row + column / 16;
        SHK_UNROLL
        for (int r = 0; r < rows; r++, bits += g->keep_row) {
            SHK_UNROLL
            for (int t = r * width, w = 0; w < width; w++, t++) bits[w] = (uint16_t)vm_bits(vf_gt(acc[t], vf_zero()));
        }
    }
    if (g->factor) {
        const float *x = g->factor + (ptrdiff_t)row * g->factor_row + column;
        SHK_UNROLL
        for (int r = 0; r < rows; r++, x += g->factor_row) {
            SHK_UNROLL
            for (int w = 0; w < width; w++) acc[r * width + w] = vf_mul(acc[r * width + w], vf_load(x + 16 * w));
        }
    }
    if (g->row_factor) {
        const float *x = g->row_factor + row;
        SHK_UNROLL
        for (int t = 0; t < rows * width; t++) acc[t] = vf_mul(acc[t], vf_set1(x[t / width]));
    }
    if (g->addend) {
        const float *x = g->addend + (ptrdiff_t)row * g->addend_row + (ptrdiff_t)(column / 16) * g->addend_panel;
        SHK_UNROLL
        for (int r = 0; r < rows; r++, x += g->addend_row) {
            SHK_UNROLL
            for (int t = r * width, w = 0; w < width; w++, t++)
                acc[t] = vf_add(vf_load(x + w * g->addend_panel), acc[t]);
        }
    }
}

GEMM_INLINE void tile(const enum gemm_walk walk, const int rows, const int width, const struct shk_gemm *g,
                      const float *a, const float *b, float *c, const float *next, size_t column, size_t row) {
    vf acc[GEMM_ACC];
    const ptrdiff_t c_row = g->c_row, c_panel = g->c_panel;
    if (g->accumulate) {
        SHK_UNROLL
        for (int t = 0; t < rows * width; t++) acc[t] = vf_load(c + t / width * c_row + t % width * c_panel);
    } else {
        SHK_UNROLL
        for (int t = 0; t < rows * width; t++)
            acc[t] = g->bias ? vf_load(g->bias + column + 16 * (t % width)) : vf_zero();
    }
    SHK_UNROLL
    for (int t = 0; t < rows * width; t++) {
        __builtin_prefetch(next + t % width * c_panel, 1);
        if (t % width == width - 1) next += c_row;
    }
    if (walk == GEMM_BY_ONE && g->sums && row == 0) {
        vf sums[8];
        SHK_UNROLL
        for (int w = 0; w < width; w++) sums[w] = vf_load(g->sums + column + 16 * w);
        gemm_tile_fma(walk, rows, width, g->k, a, g->a_row, g->a_col, b, g->b_row, g->b_panel, acc, sums);
        SHK_UNROLL
        for (int w = 0; w < width; w++) vf_store(g->sums + column + 16 * w, sums[w]);
    } else {
        gemm_tile_fma(walk, rows, width, g->k, a, g->a_row, walk == GEMM_BY_FOUR ? 1 : g->a_col, b, g->b_row,
                      g->b_panel, acc, NULL);
    }
    epilogue(rows, width, g, column, row, acc);
    __asm__("" : "+r"(c)); // addresses anew: kept from above they would be spilled
    SHK_UNROLL
    for (int r = 0; r < rows; r++, c += c_row) {
        SHK_UNROLL
        for (int w = 0; w < width; w++) vf_store(c + w * c_panel, acc[r * width + w]);
    }
}

// The tiles of one walk, by height: one panel; GEMM_WIDTH panels; and wider ones for products that have no more than three
// rows.
struct tiles {
    tile_function *narrow[GEMM_ROWS + 1], *wide[GEMM_ROWS + 1], *few_rows[4], *one_row[2];
};

#define TILE(set, walk, rows, width)                                                                                   \
    static __attribute__((noinline)) void set##_##rows##x##width(const struct shk_gemm *g, const float *a,             \
                                                                 const float *b, float *c, const float *next,          \
                                                                 size_t column, size_t row) {                          \
        tile(walk, rows, width, g, a, b, c, next, column, row);                                                        \
    }

#define LOW_TILES(set, walk)                                                                                           \
    TILE(set, walk, 1, 1)                                                                                              \
    TILE(set, walk, 2, 1)                                                                                              \
    TILE(set, walk, 3, 1)                                                                                              \
    TILE(set, walk, 4, 1)                                                                                              \
    TILE(set, walk, 5, 1)                                                                                              \
    TILE(set, walk, 6, 1)

#if GEMM_ROWS > 6
enum { FEW_ROWS_WIDTH = 4, ONE_ROW_WIDTH = 8 };
#define TILES(set, walk)                                                                                               \
    LOW_TILES(set, walk)                                                                                               \
    TILE(set, walk, 7, 1)                                                                                              \
    TILE(set, walk, 8, 1)                                                                                              \
    TILE(set, walk, 9, 1)                                                                                              \
    TILE(set, walk, 10, 1)                                                                                             \
    TILE(set, walk, 11, 1)                                                                                             \
    TILE(set, walk, 12, 1)                                                                                             \
    TILE(set, walk, 13, 1)                                                                                             \
    TILE(set, walk, 4, 2)                                                                                              \
    TILE(set, walk, 5, 2)                                                                                              \
    TILE(set, walk, 6, 2)                                                                                              \
    TILE(set, walk, 7, 2)                                                                                              \
    TILE(set, walk, 8, 2)                                                                                              \
    TILE(set, walk, 9, 2)                                                                                              \
    TILE(set, walk, 10, 2)                                                                                             \
    TILE(set, walk, 11, 2)                                                                                             \
    TILE(set, walk, 12, 2)                                                                                             \
    TILE(set, walk, 13, 2)                                                                                             \
    TILE(set, walk, 1, 8)                                                                                              \
    TILE(set, walk, 1, 4)                                                                                              \
    TILE(set, walk, 2, 4)                                                                                              \
    TILE(set, walk, 3, 4)                                                                                              \
    static const struct tiles set = {                                                                                  \
        .narrow = {NULL, set##_1x1, set##_2x1, set##_3x1, set##_4x1, set##_5x1, set##_6x1, set##_7x1, set##_8x1,       \
                   set##_9x1, set##_10x1, set##_11x1, set##_12x1, set##_13x1},                                         \
        .wide = {NULL, NULL, NULL, NULL, set##_4x2, set##_5x2, set##_6x2, set##_7x2, set##_8x2, set##_9x2, set##_10x2, \
                 set##_11x2, set##_12x2, set##_13x2},                                                                  \
        .few_rows = {NULL, set##_1x4, set##_2x4, set##_3x4},                                                           \
        .one_row = {NULL, set##_1x8},                                                                                  \
    };
TILES(by_four, GEMM_BY_FOUR)
TILES(by_one, GEMM_BY_ONE)

static const struct tiles *tiles_of(const struct shk_gemm *g) { return g->a_col == 1 && !g->sums ? &by_four : &by_one; }
#else
enum { FEW_ROWS_WIDTH = 2, ONE_ROW_WIDTH = 4 };
#define TILES(set, walk)                                                                                               \
    LOW_TILES(set, walk)                                                                                               \
    TILE(set, walk, 1, 4)                                                                                              \
    TILE(set, walk, 1, 2)                                                                                              \
    TILE(set, walk, 2, 2)                                                                                              \
    TILE(set, walk, 3, 2)                                                                                              \
    static const struct tiles set = {                                                                                  \
        .narrow = {NULL, set##_1x1, set##_2x1, set##_3x1, set##_4x1, set##_5x1, set##_6x1},                            \
        .wide = {NULL, set##_1x1, set##_2x1, set##_3x1, set##_4x1, set##_5x1, set##_6x1},                              \
        .few_rows = {NULL, set##_1x2, set##_2x2, set##_3x2},                                                           \
        .one_row = {NULL, set##_1x4},                                                                                  \
    };
TILES(by_one, GEMM_BY_ONE)

static const struct tiles *tiles_of(const struct shk_gemm *g) {
    (void)g;
    return &by_one;
}
#endif

// The tiles for products of m rows where `left` panels are left, and how many panels they take.
static size_t choose(const struct tiles *set, size_t m, size_t left, tile_function *const **tiles) {
    if (m == 1 && left >= ONE_ROW_WIDTH) return *tiles = set->one_row, ONE_ROW_WIDTH;
    if (m < 4 && left >= FEW_ROWS_WIDTH) return *tiles = set->few_rows, FEW_ROWS_WIDTH;
    if (m >= 4 && left >= GEMM_WIDTH) return *tiles = set->wide, GEMM_WIDTH;
    return *tiles = set->narrow, 1;
}

// All rows of the strip of columns from `column` on, in `count` tiles whose heights differ by one at most; the lower ones
// first, since the first one makes the sums too. `next`: where C goes on behind it.
static void strip(const struct shk_gemm *g, tile_function *const *tiles, unsigned count, const float *b, float *c,
                  const float *next, size_t column) {
    const unsigned height = (unsigned)g->m / count,
                   lower = count - (unsigned)g->m % count; // of 64 bits division is slow
    const float *a = g->a;
    size_t row = 0;
    for (unsigned i = 0; i < count; i++) {
        const unsigned rows = height + (i >= lower);
        float *const below = c + (ptrdiff_t)rows * g->c_row;
        tiles[rows](g, a, b, c, i + 1 < count ? below : next, column, row);
        a += (ptrdiff_t)rows * g->a_row;
        c = below;
        row += rows;
    }
}

// All columns, in strips.
static void block(const struct shk_gemm *g) {
    const unsigned count = ((unsigned)g->m + GEMM_ROWS - 1) / GEMM_ROWS;
    const size_t panels = g->n / 16;
    const struct tiles *const set = tiles_of(g);
    const float *b = g->b;
    float *c = g->c;
    for (size_t panel = 0, taken; panel < panels; panel += taken) {
        tile_function *const *tiles;
        taken = choose(set, g->m, panels - panel, &tiles);
        float *const right = c + (ptrdiff_t)taken * g->c_panel;
        strip(g, tiles, count, b, c, right, 16 * panel);
        b += (ptrdiff_t)taken * g->b_panel;
        c = right;
    }
}

// Where every step of k touches other lines of A too (columns of A), long sums go in pieces so that these and the strip
// of B fit L1 together. The pieces meet in C, which changes no bit. In the other cases this was measured to lose.
enum { DEPTH = 208 };

void SHK_KERNEL(gemm)(const struct shk_gemm *g) {
    if (g->a_col == 1 || g->m <= GEMM_ROWS || g->k <= DEPTH || g->addend == g->c) {
        block(g);
        return;
    }
    const size_t pieces = (g->k + DEPTH - 1) / DEPTH;
    struct shk_gemm s = *g;
    for (size_t i = 0; i < pieces; i++) {
        const bool last = i + 1 == pieces;
        s.k = g->k / pieces + (i < g->k % pieces);
        s.relu = g->relu && last;
        s.keep = last ? g->keep : NULL;
        s.alive = last ? g->alive : NULL;
        s.factor = last ? g->factor : NULL;
        s.row_factor = last ? g->row_factor : NULL;
        s.addend = last ? g->addend : NULL;
        block(&s);
        s.a += (ptrdiff_t)s.k * s.a_col;
        s.b += (ptrdiff_t)s.k * s.b_row;
        s.accumulate = true;
        s.bias = NULL;
    }
}
