// SPDX-License-Identifier: MIT
// gemm holds tiles of C in registers, a strip of B's columns kept in L1 while the rows of A pass by.
#include "gemm_tile.h"

// One tile of C = A B: its height and width are known from the function's name, a, b and c point at its part of the
// matrices, row and column say which part that is, `next` is the C of a next tile, which is fetched meanwhile. They are
// arguments, since what was just stored in a struct would have to be waited for.
typedef void tile_function(const struct shk_gemm *g, const float *a, const float *b, float *c, const float *next,
                           size_t column, size_t row);

// What may follow the sums, in this order: a set of bits. GEMM_ANY: whatever the product asks for.
enum {
    GEMM_RELU = 1,
    GEMM_KEEP = 2,
    GEMM_ALIVE = 4,
    GEMM_FACTOR = 8,
    GEMM_ROW_FACTOR = 16,
    GEMM_ADDEND = 32,
    GEMM_ANY = 64,
};

static unsigned end_of(const struct shk_gemm *g) {
    return (g->relu ? GEMM_RELU : 0) | (g->keep ? GEMM_KEEP : 0) | (g->alive ? GEMM_ALIVE : 0) |
           (g->factor ? GEMM_FACTOR : 0) | (g->row_factor ? GEMM_ROW_FACTOR : 0) | (g->addend ? GEMM_ADDEND : 0);
}

GEMM_INLINE void end_row(const unsigned end, const int width, const struct shk_gemm *g, size_t column, ptrdiff_t row,
                         vf *acc) {
    const ptrdiff_t panel = (ptrdiff_t)(column / 16), bits = row * g->keep_row + panel;
    const float *factor = end & GEMM_FACTOR ? g->factor + row * g->factor_row + 16 * panel : NULL;
    const float *addend = end & GEMM_ADDEND ? g->addend + row * g->addend_row + panel * g->addend_panel : NULL;
    SHK_UNROLL
    for (int w = 0; w < width; w++) {
        if (end & GEMM_RELU) acc[w] = vf_max(vf_zero(), acc[w]);
        if (end & GEMM_KEEP) acc[w] = vf_keep(vm_from_bits(g->keep[bits + w]), vf_mul(acc[w], vf_set1(g->scale)));
        if (end & GEMM_ALIVE) g->alive[bits + w] = (uint16_t)vm_bits(vf_gt(acc[w], vf_zero()));
        if (end & GEMM_FACTOR) acc[w] = vf_mul(acc[w], vf_load(factor + 16 * w));
        if (end & GEMM_ROW_FACTOR) acc[w] = vf_mul(acc[w], vf_set1(g->row_factor[row]));
        if (end & GEMM_ADDEND) acc[w] = vf_add(vf_load(addend + w * g->addend_panel), acc[w]);
    }
}

GEMM_INLINE void end_rows(const unsigned end, const int rows, const int width, const struct shk_gemm *g, size_t column,
                          size_t row, vf acc[GEMM_ACC]) {
    SHK_UNROLL
    for (int r = 0; r < rows; r++) end_row(end, width, g, column, (ptrdiff_t)row + r, acc + r * width);
}

// What the product asks for, one thing after the other: with all decided row by row the accumulators would be spilled.
GEMM_INLINE void end_tile(const int rows, const int width, const struct shk_gemm *g, size_t column, size_t row,
                          vf acc[GEMM_ACC]) {
    if (g->relu) end_rows(GEMM_RELU, rows, width, g, column, row, acc);
    if (g->keep) end_rows(GEMM_KEEP, rows, width, g, column, row, acc);
    if (g->alive) end_rows(GEMM_ALIVE, rows, width, g, column, row, acc);
    if (g->factor) end_rows(GEMM_FACTOR, rows, width, g, column, row, acc);
    if (g->row_factor) end_rows(GEMM_ROW_FACTOR, rows, width, g, column, row, acc);
    if (g->addend) end_rows(GEMM_ADDEND, rows, width, g, column, row, acc);
}

// The tile's last `steps` of k, what follows, and its stores, row by row.
GEMM_INLINE void finish(const unsigned end, const int steps, const int rows, const int width, const struct shk_gemm *g,
                        const struct gemm_rows *a, ptrdiff_t a_col, const float *b, float *c, const float *next,
                        size_t column, size_t row, vf acc[GEMM_ACC]) {
    const ptrdiff_t c_row = g->c_row, c_panel = g->c_panel;
    __asm__("" : "+r"(b), "+r"(c)); // addresses from here: kept from above they would be spilled
    vf last[8 * GEMM_LAST];
    SHK_UNROLL
    for (int i = 0; i < steps * width; i++) {
        const float *x = b + i / width * g->b_row + i % width * g->b_panel;
        last[i] = rows > 1 ? vf_held(vf_load(x)) : vf_load(x);
    }
    SHK_UNROLL
    for (int r = 0; r < rows; r++, c += c_row, next += c_row) {
        gemm_row_fma(steps, width, r, a, a_col, last, acc + r * width);
        if (end != GEMM_ANY) end_row(end, width, g, column, (ptrdiff_t)row + r, acc + r * width);
        SHK_UNROLL
        for (int w = 0; w < width; w++) {
            vf_store(c + w * c_panel, acc[r * width + w]);
            __builtin_prefetch(next + w * c_panel, 1);
        }
    }
}

// sums += `steps` more rows of B.
GEMM_INLINE void sum_rows(const int width, const struct shk_gemm *g, const float *b, const int steps, vf *sums) {
    SHK_UNROLL
    for (int i = 0; i < steps; i++, b += g->b_row) {
        SHK_UNROLL
        for (int w = 0; w < width; w++) sums[w] = vf_add(sums[w], vf_load(b + w * g->b_panel));
    }
}

GEMM_INLINE void tile(const enum gemm_walk walk, const unsigned end, const int rows, const int width,
                      const struct shk_gemm *g, const float *a, const float *b, float *c, const float *next,
                      size_t column, size_t row) {
    const int steps = end == GEMM_ANY ? 0 : GEMM_LAST;
    const size_t k = g->k - (size_t)steps;
    const ptrdiff_t a_col = walk == GEMM_BY_FOUR ? 1 : g->a_col;
    struct gemm_rows at = gemm_rows_of(rows, a, g->a_row);
    vf acc[GEMM_ACC];
    if (g->accumulate) {
        SHK_UNROLL
        for (int t = 0; t < rows * width; t++) acc[t] = vf_load(c + t / width * g->c_row + t % width * g->c_panel);
    } else {
        SHK_UNROLL
        for (int t = 0; t < rows * width; t++)
            acc[t] = g->bias ? vf_load(g->bias + column + 16 * (t % width)) : vf_zero();
    }
    if (walk == GEMM_BY_ONE && g->sums && row == 0) {
        vf sums[8];
        SHK_UNROLL
        for (int w = 0; w < width; w++) sums[w] = vf_load(g->sums + column + 16 * w);
        b = gemm_tile_fma(walk, rows, width, k, &at, a_col, b, g->b_row, g->b_panel, acc, sums);
        sum_rows(width, g, b, steps, sums);
        SHK_UNROLL
        for (int w = 0; w < width; w++) vf_store(g->sums + column + 16 * w, sums[w]);
    } else {
        b = gemm_tile_fma(walk, rows, width, k, &at, a_col, b, g->b_row, g->b_panel, acc, NULL);
    }
    SHK_UNROLL
    for (int t = 0; t < rows * width; t++) acc[t] = vf_held(acc[t]); // all of them: else some would be spilled above
    if (end == GEMM_ANY) end_tile(rows, width, g, column, row, acc);
    finish(end, steps, rows, width, g, &at, a_col, b, c, next, column, row, acc);
}

// The tiles of one walk and end, by height: one panel; GEMM_WIDTH panels; and wider ones for products that have no more
// than three rows.
struct tiles {
    tile_function *narrow[GEMM_ROWS + 1], *wide[GEMM_ROWS + 1], *few_rows[4], *one_row[2];
};

#define TILE(set, walk, end, rows, width)                                                                              \
    static __attribute__((noinline)) void set##_##rows##x##width(const struct shk_gemm *g, const float *a,             \
                                                                 const float *b, float *c, const float *next,          \
                                                                 size_t column, size_t row) {                          \
        tile(walk, end, rows, width, g, a, b, c, next, column, row);                                                   \
    }

#define LOW_TILES(set, walk, end)                                                                                      \
    TILE(set, walk, end, 1, 1)                                                                                         \
    TILE(set, walk, end, 2, 1)                                                                                         \
    TILE(set, walk, end, 3, 1)                                                                                         \
    TILE(set, walk, end, 4, 1)                                                                                         \
    TILE(set, walk, end, 5, 1)                                                                                         \
    TILE(set, walk, end, 6, 1)

#if GEMM_ROWS > 6
enum { FEW_ROWS_WIDTH = 4, ONE_ROW_WIDTH = 8 };
#define TILES(set, walk, end)                                                                                          \
    LOW_TILES(set, walk, end)                                                                                          \
    TILE(set, walk, end, 7, 1)                                                                                         \
    TILE(set, walk, end, 8, 1)                                                                                         \
    TILE(set, walk, end, 9, 1)                                                                                         \
    TILE(set, walk, end, 10, 1)                                                                                        \
    TILE(set, walk, end, 11, 1)                                                                                        \
    TILE(set, walk, end, 12, 1)                                                                                        \
    TILE(set, walk, end, 13, 1)                                                                                        \
    TILE(set, walk, end, 4, 2)                                                                                         \
    TILE(set, walk, end, 5, 2)                                                                                         \
    TILE(set, walk, end, 6, 2)                                                                                         \
    TILE(set, walk, end, 7, 2)                                                                                         \
    TILE(set, walk, end, 8, 2)                                                                                         \
    TILE(set, walk, end, 9, 2)                                                                                         \
    TILE(set, walk, end, 10, 2)                                                                                        \
    TILE(set, walk, end, 11, 2)                                                                                        \
    TILE(set, walk, end, 12, 2)                                                                                        \
    TILE(set, walk, end, 13, 2)                                                                                        \
    TILE(set, walk, end, 1, 8)                                                                                         \
    TILE(set, walk, end, 1, 4)                                                                                         \
    TILE(set, walk, end, 2, 4)                                                                                         \
    TILE(set, walk, end, 3, 4)                                                                                         \
    TABLE(set, set)
// The highest tiles of another end than `set`, whose tiles the others are.
#define HIGHEST_TILES(highest, set, walk, end)                                                                         \
    TILE(highest, walk, end, 12, 1)                                                                                    \
    TILE(highest, walk, end, 13, 1)                                                                                    \
    TILE(highest, walk, end, 12, 2)                                                                                    \
    TILE(highest, walk, end, 13, 2)                                                                                    \
    TABLE(highest, set)
#define TABLE(highest, set)                                                                                            \
    static const struct tiles highest = {                                                                              \
        .narrow = {NULL, set##_1x1, set##_2x1, set##_3x1, set##_4x1, set##_5x1, set##_6x1, set##_7x1, set##_8x1,       \
                   set##_9x1, set##_10x1, set##_11x1, highest##_12x1, highest##_13x1},                                 \
        .wide = {NULL, NULL, NULL, NULL, set##_4x2, set##_5x2, set##_6x2, set##_7x2, set##_8x2, set##_9x2, set##_10x2, \
                 set##_11x2, highest##_12x2, highest##_13x2},                                                          \
        .few_rows = {NULL, set##_1x4, set##_2x4, set##_3x4},                                                           \
        .one_row = {NULL, set##_1x8},                                                                                  \
    };
#else
enum { FEW_ROWS_WIDTH = 2, ONE_ROW_WIDTH = 4 };
#define TILES(set, walk, end)                                                                                          \
    LOW_TILES(set, walk, end)                                                                                          \
    TILE(set, walk, end, 1, 4)                                                                                         \
    TILE(set, walk, end, 1, 2)                                                                                         \
    TILE(set, walk, end, 2, 2)                                                                                         \
    TILE(set, walk, end, 3, 2)                                                                                         \
    TABLE(set, set)
#define HIGHEST_TILES(highest, set, walk, end)                                                                         \
    TILE(highest, walk, end, 5, 1)                                                                                     \
    TILE(highest, walk, end, 6, 1)                                                                                     \
    TABLE(highest, set)
#define TABLE(highest, set)                                                                                            \
    static const struct tiles highest = {                                                                              \
        .narrow = {NULL, set##_1x1, set##_2x1, set##_3x1, set##_4x1, highest##_5x1, highest##_6x1},                    \
        .wide = {NULL, set##_1x1, set##_2x1, set##_3x1, set##_4x1, highest##_5x1, highest##_6x1},                      \
        .few_rows = {NULL, set##_1x2, set##_2x2, set##_3x2},                                                           \
        .one_row = {NULL, set##_1x4},                                                                                  \
    };
#endif

// The tiles of a walk by their ends: those of the products that take most of the time, and any. All but the last leave
// their last steps of k to the end.
struct ending {
    unsigned end;
    const struct tiles *tiles;
};
#define ENDS(walk_tiles, walk)                                                                                         \
    TILES(walk_tiles##_plain, walk, 0)                                                                                 \
    TILES(walk_tiles##_any, walk, GEMM_ANY)                                                                            \
    HIGHEST_TILES(walk_tiles##_factor, walk_tiles##_any, walk, GEMM_FACTOR)                                            \
    HIGHEST_TILES(walk_tiles##_row_factor, walk_tiles##_any, walk, GEMM_ROW_FACTOR)                                    \
    HIGHEST_TILES(walk_tiles##_addend, walk_tiles##_any, walk, GEMM_ADDEND)                                            \
    HIGHEST_TILES(walk_tiles##_keep, walk_tiles##_any, walk, GEMM_KEEP)                                                \
    HIGHEST_TILES(walk_tiles##_keep_addend, walk_tiles##_any, walk, GEMM_KEEP | GEMM_ADDEND)                           \
    HIGHEST_TILES(walk_tiles##_relu, walk_tiles##_any, walk, GEMM_RELU | GEMM_KEEP | GEMM_ALIVE)                       \
    static const struct ending walk_tiles[] = {                                                                        \
        {0, &walk_tiles##_plain},                                                                                      \
        {GEMM_FACTOR, &walk_tiles##_factor},                                                                           \
        {GEMM_ROW_FACTOR, &walk_tiles##_row_factor},                                                                   \
        {GEMM_ADDEND, &walk_tiles##_addend},                                                                           \
        {GEMM_KEEP, &walk_tiles##_keep},                                                                               \
        {GEMM_KEEP | GEMM_ADDEND, &walk_tiles##_keep_addend},                                                          \
        {GEMM_RELU | GEMM_KEEP | GEMM_ALIVE, &walk_tiles##_relu},                                                      \
        {GEMM_ANY, &walk_tiles##_any},                                                                                 \
    };
ENDS(by_one, GEMM_BY_ONE)
#if GEMM_ROWS > 6
ENDS(by_four, GEMM_BY_FOUR)
#else
#define by_four by_one // with few registers there is but one walk
#endif

static const struct tiles *tiles_of(const struct shk_gemm *g) {
    const struct ending *e = g->a_col == 1 && !g->sums ? by_four : by_one;
    const unsigned end = g->k < GEMM_LAST ? GEMM_ANY : end_of(g);
    while (e->end != end && e->end != GEMM_ANY) e++;
    return e->tiles;
}

// The tiles for products of m rows where `left` panels are left, and how many panels they take.
static size_t choose(const struct tiles *set, size_t m, size_t left, tile_function *const **tiles) {
    if (m == 1 && left >= ONE_ROW_WIDTH) return *tiles = set->one_row, ONE_ROW_WIDTH;
    if (m < 4 && left >= FEW_ROWS_WIDTH) return *tiles = set->few_rows, FEW_ROWS_WIDTH;
    if (m >= 4 && left >= GEMM_WIDTH) return *tiles = set->wide, GEMM_WIDTH;
    return *tiles = set->narrow, 1;
}

// All rows of the strip of columns from `column` on, in `count` tiles whose heights differ by one at most; the lower
// ones first, since the first one makes the sums too. `next`: where C goes on behind it.
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
