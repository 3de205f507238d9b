// SPDX-License-Identifier: MIT
// C = A B without A's zeros (kernels.h). In blocks of up to 64 steps of k, whose rows of B stay in L1, a row of A is a word
// of bits, and the steps that it lists go through registers that hold a strip of C.
#include "adam.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

enum { DEPTH = 64, ROWS = 16, WIDTH = 4 }; // bits of a word; rows whose words are made at a time; vec16 of a strip

// Bit s: A(i, s) is not 0. Of a row of A whose elements are neighbours.
static uint64_t row_word(const float *a, size_t steps) {
    uint64_t word = 0;
    for (size_t s = 0; s < steps; s += 16) {
        const vf x = vf_load_n(a + s, steps - s < 16 ? steps - s : 16);
        word |= (uint64_t)vm_bits(vm_not(vf_eq(x, vf_zero()))) << s;
    }
    return word;
}

// The bit matrix [DEPTH][ROWS] turned over.
static void turn(const uint32_t bits[DEPTH], uint64_t words[ROWS]) {
    vi part[DEPTH / 16];
    SHK_UNROLL
    for (int p = 0; p < DEPTH / 16; p++) part[p] = vi_loadu(bits + 16 * p);
    for (int i = 0; i < ROWS; i++) {
        const vi bit = vi_set1(1u << i);
        words[i] = 0;
        SHK_UNROLL
        for (int p = 0; p < DEPTH / 16; p++) words[i] |= (uint64_t)vm_bits(vi_eq(vi_and(part[p], bit), bit)) << 16 * p;
    }
}

// The words of up to ROWS rows in up to DEPTH steps.
static void make_words(const struct shk_sparse_gemm *g, const float *a, size_t rows, size_t steps,
                       uint64_t words[ROWS]) {
    if (g->a_col == 1) {
        for (size_t r = 0; r < rows; r++) words[r] = row_word(a + (ptrdiff_t)r * g->a_row, steps);
        return;
    }
    uint32_t bits[DEPTH] = {0};
    for (size_t s = 0; s < steps; s++)
        bits[s] = vm_bits(vm_not(vf_eq(vf_load_n(a + (ptrdiff_t)s * g->a_col, rows), vf_zero())));
    turn(bits, words);
}

// Some rows of a strip of C, in one block of steps: a, b point at it, c is floats from C(0, 0) on.
struct strip {
    const float *a, *b;
    ptrdiff_t c;
    size_t rows;
    const uint64_t *words;
    bool fresh, last; // the first block of steps, unless C is added to; the last one
};

SHK_INLINE void add_listed(const int width, const struct shk_sparse_gemm *g, uint64_t word, const float *a,
                           const float *b, vf acc[WIDTH]) {
    const ptrdiff_t a_col = g->a_col, b_row = g->b_row;
    for (; word; word &= word - 1) {
        const ptrdiff_t s = __builtin_ctzll(word);
        const vf x = vf_spread(a + s * a_col);
        const float *row = b + s * b_row;
        SHK_UNROLL
        for (int w = 0; w < width; w++) acc[w] = vf_fma(x, vf_load(row + 16 * w), acc[w]);
    }
}

// What the caches do not hold: the moments of rows to come, and the weights behind C's, with which the caller goes on.
enum { AHEAD = 4 }; // rows
SHK_INLINE void fetch_row(const int width, const struct shk_sparse_gemm *g, ptrdiff_t at) {
    const ptrdiff_t next = at + AHEAD * g->c_row, behind = at + (ptrdiff_t)g->m * g->c_row;
    SHK_UNROLL
    for (int w = 0; w < width; w++) {
        __builtin_prefetch(g->adam->m + next + 16 * w, 1);
        __builtin_prefetch(g->adam->v + next + 16 * w, 1);
        __builtin_prefetch(g->adam->w + behind + 16 * w, 1, 2);
    }
}

// One row of the strip; acc: the sums.
SHK_INLINE void strip_row(const int width, const struct shk_sparse_gemm *g, const struct strip *s, size_t r, vf *acc) {
    const float *c = g->c + s->c + (ptrdiff_t)r * g->c_row;
    SHK_UNROLL
    for (int w = 0; w < width; w++) acc[w] = s->fresh ? vf_zero() : vf_load(c + 16 * w);
    add_listed(width, g, s->words[r], s->a + (ptrdiff_t)r * g->a_row, s->b, acc);
}

SHK_INLINE void store_rows(const int width, const struct shk_sparse_gemm *g, const struct strip *s) {
    for (size_t r = 0; r < s->rows; r++) {
        vf acc[WIDTH];
        strip_row(width, g, s, r, acc);
        SHK_UNROLL
        for (int w = 0; w < width; w++) vf_store(g->c + s->c + (ptrdiff_t)r * g->c_row + 16 * w, acc[w]);
    }
}

// An update on its way: the gradients of a row, then its moments.
struct pending {
    vf gradient[WIDTH], m[WIDTH], root[WIDTH];
    vf check;
};

SHK_INLINE void step_row(const int width, const struct shk_sparse_gemm *g, const struct adam *k, ptrdiff_t at,
                         const struct pending *p) {
    SHK_UNROLL
    for (int w = 0; w < width; w++) adam_step(g->adam, k, (size_t)at + 16 * w, p->m[w], p->root[w]);
}

SHK_INLINE void moments_row(const int width, const struct shk_sparse_gemm *g, const struct adam *k, ptrdiff_t at,
                            struct pending *p) {
    fetch_row(width, g, at);
    SHK_UNROLL
    for (int w = 0; w < width; w++) {
        const vf v = adam_moments(g->adam, k, (size_t)at + 16 * w, p->gradient[w], &p->m[w]);
        p->root[w] = vf_sqrt(v);
        p->check = adam_check(v, p->check);
    }
}

// A row's square roots follow the products of the next row, and its divisions those of the row after: neither has to be
// waited for, and the products around them go on meanwhile.
SHK_INLINE vf update_rows(const int width, const struct shk_sparse_gemm *g, const struct strip *s,
                          const struct adam *k) {
    struct pending p = {.check = vf_zero()};
    ptrdiff_t at = s->c;
    strip_row(width, g, s, 0, p.gradient);
    for (size_t r = 1; r < s->rows; r++, at += g->c_row) {
        vf acc[WIDTH];
        strip_row(width, g, s, r, acc);
        if (r > 1) step_row(width, g, k, at - g->c_row, &p);
        moments_row(width, g, k, at, &p);
        SHK_UNROLL
        for (int w = 0; w < width; w++) p.gradient[w] = acc[w];
    }
    if (s->rows > 1) step_row(width, g, k, at - g->c_row, &p);
    moments_row(width, g, k, at, &p);
    step_row(width, g, k, at, &p);
    return p.check;
}

static __attribute__((noinline)) void one_strip(const struct shk_sparse_gemm *g, const struct strip *s, bool wide) {
    if (wide)
        store_rows(WIDTH, g, s);
    else
        store_rows(1, g, s);
}

static __attribute__((noinline)) vf one_update(const struct shk_sparse_gemm *g, const struct strip *s,
                                               const struct adam *k, bool wide) {
    return wide ? update_rows(WIDTH, g, s, k) : update_rows(1, g, s, k);
}

// Returns what adam_check found.
static vf all_strips(const struct shk_sparse_gemm *g, struct strip s, const struct adam *k) {
    vf check = vf_zero();
    for (size_t vectors = g->n / 16, taken; vectors > 0; vectors -= taken) {
        taken = vectors < WIDTH ? 1 : WIDTH;
        if (g->adam && s.last)
            check = vf_add(check, one_update(g, &s, k, taken == WIDTH));
        else
            one_strip(g, &s, taken == WIDTH);
        s.b += 16 * taken;
        s.c += 16 * (ptrdiff_t)taken;
    }
    return check;
}

void SHK_KERNEL(sparse_gemm)(const struct shk_sparse_gemm *g) {
    struct adam k;
    vf check = vf_zero();
    if (g->adam) k = adam_of(g->adam);
    for (size_t step = 0; step < g->k; step += DEPTH) {
        const size_t steps = g->k - step < DEPTH ? g->k - step : DEPTH;
        for (size_t i = 0; i < g->m; i += ROWS) {
            uint64_t words[ROWS];
            struct strip s = {.a = g->a + (ptrdiff_t)i * g->a_row + (ptrdiff_t)step * g->a_col,
                              .b = g->b + (ptrdiff_t)step * g->b_row,
                              .c = (ptrdiff_t)i * g->c_row,
                              .rows = g->m - i < ROWS ? g->m - i : ROWS,
                              .words = words,
                              .fresh = step == 0 && !g->accumulate,
                              .last = step + steps == g->k};
            make_words(g, s.a, s.rows, steps, words);
            check = vf_add(check, all_strips(g, s, &k));
        }
    }
    if (g->adam) adam_report(g->adam, check);
}
