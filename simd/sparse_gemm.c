// SPDX-License-Identifier: MIT
// sparse_gemm lists what is not zero: in blocks of up to 64 steps of k, whose rows of B stay in L1, a row of A is a
// word of bits, and the steps that it lists go through registers that hold a strip of C. Two rows at a time: loads are
// the bound, and a row of B that both want is loaded once.
#include "kernel.h"

#ifdef SHK_ISA_AVX512
enum { WIDTH = 4 }; // vec16 of a strip
#else
enum { WIDTH = 2 };
#endif
enum { DEPTH = SHK_SPARSE_DEPTH, ROWS = 16 }; // bits of a word; rows that are made ready at a time

// Up to ROWS rows of A in up to DEPTH steps: bit s of words[i] says that A(i, s) = a[i * a_row + s] is not 0.
struct rows {
    const float *a;
    ptrdiff_t a_row;
    uint64_t words[ROWS];
    _Alignas(64) float copy[ROWS][DEPTH]; // where A's rows are not contiguous
};

static uint64_t alive(vf x) { return vm_bits(vm_not(vf_eq(x, vf_zero()))); }

static void read_rows(const struct shk_sparse_gemm *g, const float *a, size_t rows, size_t steps, struct rows *out) {
    out->a = a;
    out->a_row = g->a_row;
    for (size_t r = 0; r < rows; r++, a += g->a_row) {
        out->words[r] = 0;
        for (size_t s = 0; s < steps; s += 16)
            out->words[r] |= alive(vf_load_n(a + s, steps - s < 16 ? steps - s : 16)) << s;
    }
}

static void transpose_rows(const struct shk_sparse_gemm *g, const float *a, size_t rows, size_t steps,
                           struct rows *out) {
    out->a = out->copy[0];
    out->a_row = DEPTH;
    for (size_t r = 0; r < ROWS; r++) out->words[r] = 0;
    for (size_t s = 0; s < steps; s += 16) {
        vf x[16];
        for (size_t i = 0; i < 16; i++)
            x[i] = s + i < steps ? vf_load_n(a + (ptrdiff_t)(s + i) * g->a_col, rows) : vf_zero();
        vf_transpose16(x);
        for (size_t r = 0; r < ROWS; r++) {
            out->words[r] |= alive(x[r]) << s;
            vf_store(out->copy[r] + s, x[r]);
        }
    }
}

// Some rows of a strip of C, in one block of steps: b points at it, c is floats from C(0, 0) on.
struct strip {
    const struct rows *a;
    const float *b;
    ptrdiff_t c;
    size_t rows;
    bool from_zero, last; // the first block of steps, unless C is added to; the last one
};

SHK_INLINE ptrdiff_t lowest_bit(uint64_t word) { return __builtin_ctzll(word); }

// acc += the steps of a word.
SHK_INLINE void add_listed(const int width, uint64_t word, const float *a, const float *b, ptrdiff_t b_row, vf *acc) {
    for (; word; word &= word - 1) {
        const ptrdiff_t s = lowest_bit(word);
        const vf x = vf_spread(a + s);
        SHK_UNROLL
        for (int w = 0; w < width; w++) acc[w] = vf_fma(x, vf_load(b + s * b_row + 16 * w), acc[w]);
    }
}

// The steps that two rows share.
SHK_INLINE void add_shared(const int width, uint64_t word, const float *a0, const float *a1, const float *b,
                           ptrdiff_t b_row, vf *acc0, vf *acc1) {
    for (; word; word &= word - 1) {
        const ptrdiff_t s = lowest_bit(word);
        const vf x0 = vf_spread(a0 + s), x1 = vf_spread(a1 + s);
        SHK_UNROLL
        for (int w = 0; w < width; w++) {
            const vf y = vf_held(vf_load(b + s * b_row + 16 * w));
            acc0[w] = vf_fma(x0, y, acc0[w]);
            acc1[w] = vf_fma(x1, y, acc1[w]);
        }
    }
}

// Those that they do not, side by side: one row has too few chains to hide the latency of FMA.
SHK_INLINE void add_unshared(const int width, uint64_t word0, uint64_t word1, const float *a0, const float *a1,
                             const float *b, ptrdiff_t b_row, vf *acc0, vf *acc1) {
    for (; word0 && word1; word0 &= word0 - 1, word1 &= word1 - 1) {
        const ptrdiff_t s0 = lowest_bit(word0), s1 = lowest_bit(word1);
        const vf x0 = vf_spread(a0 + s0), x1 = vf_spread(a1 + s1);
        SHK_UNROLL
        for (int w = 0; w < width; w++) {
            acc0[w] = vf_fma(x0, vf_load(b + s0 * b_row + 16 * w), acc0[w]);
            acc1[w] = vf_fma(x1, vf_load(b + s1 * b_row + 16 * w), acc1[w]);
        }
    }
    add_listed(width, word0, a0, b, b_row, acc0);
    add_listed(width, word1, a1, b, b_row, acc1);
}

// The sums of `rows` rows (1 or 2) of the strip, from row r on: acc[row * WIDTH + w].
SHK_INLINE void sum_rows(const int width, const int rows, const struct shk_sparse_gemm *g, const struct strip *s,
                         size_t r, vf *acc) {
    const float *c = g->c + s->c + (ptrdiff_t)r * g->c_row, *a = s->a->a + (ptrdiff_t)r * s->a->a_row;
    SHK_UNROLL
    for (int i = 0; i < rows * width; i++)
        acc[i / width * WIDTH + i % width] =
            s->from_zero ? vf_zero() : vf_load(c + i / width * g->c_row + i % width * 16);
    const uint64_t word = s->a->words[r], next = rows > 1 ? s->a->words[r + 1] : 0;
    if (rows == 1) {
        add_listed(width, word, a, s->b, g->b_row, acc);
        return;
    }
    add_shared(width, word & next, a, a + s->a->a_row, s->b, g->b_row, acc, acc + WIDTH);
    add_unshared(width, word & ~next, next & ~word, a, a + s->a->a_row, s->b, g->b_row, acc, acc + WIDTH);
}

SHK_INLINE void store_rows(const int width, const int rows, const struct shk_sparse_gemm *g, const struct strip *s,
                           size_t r) {
    vf acc[2 * WIDTH];
    sum_rows(width, rows, g, s, r, acc);
    float *c = g->c + s->c + (ptrdiff_t)r * g->c_row;
    SHK_UNROLL
    for (int i = 0; i < rows * width; i++)
        vf_store(c + i / width * g->c_row + i % width * 16, acc[i / width * WIDTH + i % width]);
}

// What the caches do not hold: the moments of rows to come, and the weights behind C's, with which the caller goes on.
enum { AHEAD = 4 }; // rows
SHK_INLINE void fetch_row(const int width, const size_t moments, const struct shk_sparse_gemm *g, ptrdiff_t at) {
    const ptrdiff_t next = at + AHEAD * g->c_row, behind = at + (ptrdiff_t)g->m * g->c_row;
    SHK_UNROLL
    for (int w = 0; w < width; w++) {
        SHK_UNROLL
        for (size_t i = 0; i < moments; i++) __builtin_prefetch(g->rule->moments[i] + next + 16 * w, 1);
        __builtin_prefetch(g->rule->w + behind + 16 * w, 1, 2);
    }
}

// Returns what the rule reports, and `check`.
SHK_INLINE vf update_rows(const int width, const int rows, const enum shk_rule_kind kind,
                          const struct shk_sparse_gemm *g, const struct strip *s, const struct rule *k, size_t r,
                          vf check) {
    vf acc[2 * WIDTH];
    sum_rows(width, rows, g, s, r, acc);
    ptrdiff_t at = s->c + (ptrdiff_t)r * g->c_row;
    SHK_UNROLL
    for (int i = 0; i < rows; i++, at += g->c_row) {
        fetch_row(width, rule_moments(kind), g, at);
        SHK_UNROLL
        for (int w = 0; w < width; w++)
            check = rule_update(kind, g->rule, k, (size_t)at + 16 * w, acc[i * WIDTH + w], check);
    }
    return check;
}

SHK_INLINE void whole_strip(const int width, const struct shk_sparse_gemm *g, const struct strip *s) {
    size_t r = 0;
    for (; r + 2 <= s->rows; r += 2) store_rows(width, 2, g, s, r);
    if (r < s->rows) store_rows(width, 1, g, s, r);
}

SHK_INLINE vf whole_update(const int width, const enum shk_rule_kind kind, const struct shk_sparse_gemm *g,
                           const struct strip *s, const struct rule *k) {
    vf check = vf_zero();
    size_t r = 0;
    for (; r + 2 <= s->rows; r += 2) check = update_rows(width, 2, kind, g, s, k, r, check);
    return r < s->rows ? update_rows(width, 1, kind, g, s, k, r, check) : check;
}

static __attribute__((noinline)) void one_strip(const struct shk_sparse_gemm *g, const struct strip *s, bool wide) {
    if (wide)
        whole_strip(WIDTH, g, s);
    else
        whole_strip(1, g, s);
}

// A strip's sums go on to the weights, as one function a rule; which returns what the rule reports.
typedef vf update_function(const struct shk_sparse_gemm *g, const struct strip *s, const struct rule *k, bool wide);
#define RULE(name, kind)                                                                                               \
    static __attribute__((noinline))                                                                                   \
    vf update_by_##name(const struct shk_sparse_gemm *g, const struct strip *s, const struct rule *k, bool wide) {     \
        return wide ? whole_update(WIDTH, kind, g, s, k) : whole_update(1, kind, g, s, k);                             \
    }
#include "rules.def"
#undef RULE

// update: NULL where sums are stored.
static vf all_strips(const struct shk_sparse_gemm *g, struct strip s, update_function *update, const struct rule *k) {
    vf check = vf_zero();
    for (size_t vectors = g->n / 16, taken; vectors > 0; vectors -= taken) {
        taken = vectors < WIDTH ? 1 : WIDTH;
        if (update && s.last)
            check = vf_add(check, update(g, &s, k, taken == WIDTH));
        else
            one_strip(g, &s, taken == WIDTH);
        s.b += 16 * taken;
        s.c += 16 * (ptrdiff_t)taken;
    }
    return check;
}

// Returns what the rule reports.
static vf all_blocks(const struct shk_sparse_gemm *g, update_function *update, const struct rule *k) {
    vf check = vf_zero();
    for (size_t step = 0; step < g->k; step += DEPTH) {
        const size_t steps = g->k - step < DEPTH ? g->k - step : DEPTH;
        for (size_t i = 0; i < g->m; i += ROWS) {
            const float *a = g->a + (ptrdiff_t)i * g->a_row + (ptrdiff_t)step * g->a_col;
            struct rows rows;
            struct strip s = {.a = &rows,
                              .b = g->b + (ptrdiff_t)step * g->b_row,
                              .c = (ptrdiff_t)i * g->c_row,
                              .rows = g->m - i < ROWS ? g->m - i : ROWS,
                              .from_zero = step == 0 && !g->accumulate,
                              .last = step + steps == g->k};
            if (g->a_col == 1)
                read_rows(g, a, s.rows, steps, &rows);
            else
                transpose_rows(g, a, s.rows, steps, &rows);
            check = vf_add(check, all_strips(g, s, update, k));
        }
    }
    return check;
}

#define RULE(name, kind)                                                                                               \
    static void finish_by_##name(const struct shk_sparse_gemm *g) {                                                    \
        const struct rule k = rule_of(kind, g->rule);                                                                  \
        rule_report(g->rule, all_blocks(g, update_by_##name, &k));                                                     \
    }
#include "rules.def"
#undef RULE

void SHK_KERNEL(sparse_gemm)(const struct shk_sparse_gemm *g) {
    if (!g->rule) {
        all_blocks(g, NULL, NULL);
        return;
    }
    switch (g->rule->kind) {
#define RULE(name, kind)                                                                                               \
    case kind:                                                                                                         \
        finish_by_##name(g);                                                                                           \
        break;
#include "rules.def"
#undef RULE
    }
}
