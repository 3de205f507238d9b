// SPDX-License-Identifier: MIT
// Attention of one head computes scores that lie with the queries side by side, so that softmax runs down columns, 16
// queries at once, and nothing is summed across lanes. Eight queries or fewer at the end go in half a vector. What can
// be done with scores and their gradients while they are in registers is done there; the other products go through the
// GEMM kernel.
#include "attention_parts.h"

#if defined(SHK_ISA_C)
static size_t block_columns(size_t queries) {
    const size_t columns = shk_round16(queries);
    return columns < SHK_ATTENTION_BLOCK ? columns : SHK_ATTENTION_BLOCK;
}

// A panel; of a query alone: its weights, and gradients of these; of a block of queries: scaled gradients of the
// outputs, what weights are left of dropout, gradients of the scores.
size_t shk_attention_scratch(size_t queries, size_t tokens, size_t d) {
    return (16 * d + 2 * shk_round16(tokens) + block_columns(queries) * (d + 2 * tokens)) * sizeof(float);
}
#endif

// Up to SHK_ATTENTION_BLOCK queries.
struct block {
    size_t first, queries, columns; // columns: queries rounded up to 16
    float *weights;                 // [tokens][columns]
    float *inverse;                 // [columns]
    float *panel;                   // [d][16]
    float *row;                     // [2][round16(tokens)]
    float *scaled;                  // [queries][d]
    float *dropped, *ds;            // [tokens][columns]; dropped: NULL without dropout
};

static bool next_block(const struct shk_attention *a, struct block *b) {
    b->first += b->queries;
    if (b->first >= a->queries) return false;
    const size_t left = a->queries - b->first;
    b->queries = left < SHK_ATTENTION_BLOCK ? left : SHK_ATTENTION_BLOCK;
    b->columns = shk_round16(b->queries);
    b->weights = a->p + b->first * a->tokens;
    b->inverse = a->p + shk_round16(a->queries) * a->tokens + b->first;
    b->panel = a->scratch;
    b->row = b->panel + 16 * a->d;
    b->scaled = b->row + 2 * shk_round16(a->tokens);
    b->ds = b->scaled + b->columns * a->d;
    b->dropped = a->drop.threshold != 0 ? b->ds + a->tokens * b->columns : NULL;
    return true;
}

// A tile of tokens by one vector of queries: rows of k or v, a panel of queries, where its place among the weights is,
// and what is known of each query.
typedef void tile_function(const struct shk_attention *a, const struct block *b, const float *rows, const float *panel,
                           size_t at, float *column);

// Chains in flight down a column.
enum { CHAINS = 2 };

#define VEC vf
#define V(op) SHK_CAT(vf, op)
#define ROWS GEMM_ROWS
#include "attention_panel.h"
#undef VEC
#undef V
#undef ROWS

#define VEC vh
#define V(op) SHK_CAT(vh, op)
#if defined(SHK_ISA_AVX2) // half vectors leave room for twice as many rows
#define ROWS 12
enum { HALF_ROWS = 12 };
#else
#define ROWS GEMM_ROWS
enum { HALF_ROWS = GEMM_ROWS };
#endif
#include "attention_panel.h"
#undef VEC
#undef V
#undef ROWS

// All tokens of a panel in tiles whose heights differ by one at most.
static void tile_tokens(tile_function *const *tiles, unsigned highest, const struct shk_attention *a,
                        const struct block *b, const float *rows, size_t column, float *known) {
    const unsigned tokens = (unsigned)a->tokens, count = (tokens + highest - 1) / highest;
    const unsigned height = tokens / count, higher = tokens % count; // of 64 bits division is slow
    size_t at = column;
    for (unsigned i = 0; i < count; i++) {
        const unsigned taken = height + (i < higher);
        tiles[taken](a, b, rows, b->panel, at, known);
        rows += taken * a->ld_kv;
        at += taken * b->columns;
    }
}

// The panel [d][16] of the transpose of x [rows][d], times a factor; rows beyond the last are zero. Unless by is NULL,
// rows are first multiplied by by[16], and go to scaled [rows][d] too.
GEMM_INLINE void transpose(size_t rows, size_t d, const float *x, size_t ld, const float *by, float *scaled,
                           float factor, float *panel) {
    for (size_t column = 0; column < d; column += 16, panel += 256) {
        vf t[16];
        SHK_UNROLL
        for (int i = 0; i < 16; i++) {
            t[i] = vf_zero();
            if ((size_t)i >= rows) continue;
            t[i] = vf_load(x + (size_t)i * ld + column);
            if (by) {
                t[i] = vf_mul(t[i], vf_set1(by[i]));
                vf_store(scaled + (size_t)i * d + column, t[i]);
            }
            t[i] = vf_mul(t[i], vf_set1(factor));
        }
        vf_transpose16(t);
        SHK_UNROLL
        for (int i = 0; i < 16; i++) vf_store(panel + 16 * i, t[i]);
    }
}

// c [tokens][d] (+)= weights [tokens][columns] times rows [queries][d].
static void sum_queries(const struct shk_attention *a, const struct block *b, const float *weights, const float *rows,
                        size_t ld, float *c) {
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = a->d,
        .k = b->queries,
        .a = weights,
        .a_row = (ptrdiff_t)b->columns,
        .a_col = 1,
        .b = rows,
        .b_row = (ptrdiff_t)ld,
        .b_panel = 16,
        .c = c,
        .c_row = (ptrdiff_t)a->ld_kv,
        .c_panel = 16,
        .accumulate = b->first > 0,
    });
}

// c [queries][d] = transposed weights [tokens][columns] times rows [tokens][d], times factor [queries] or NULL.
static void sum_tokens(const struct shk_attention *a, const struct block *b, const float *weights, const float *rows,
                       const float *factor, float *c, size_t ld) {
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = b->queries,
        .n = a->d,
        .k = a->tokens,
        .a = weights,
        .a_row = 1,
        .a_col = (ptrdiff_t)b->columns,
        .b = rows,
        .b_row = (ptrdiff_t)a->ld_kv,
        .b_panel = 16,
        .c = c,
        .c_row = (ptrdiff_t)ld,
        .c_panel = 16,
        .row_factor = factor,
    });
}

// How many queries the panel at `column` holds.
static size_t lanes(const struct block *b, size_t column) {
    return b->queries - column < 16 ? b->queries - column : 16;
}

// Weights of the only query of a panel: in a row, then down its column.
static void weigh_row(const struct shk_attention *a, const struct block *b, const float *q, size_t column) {
    shk_times_tokens(1, a->tokens, a->d, a->k, a->ld_kv, q, b->row);
    shk_softmax_rows(1, a->tokens, a->scale, b->row);
    float *weights = b->weights + column;
    for (size_t j = 0; j < a->tokens; j++, weights += b->columns) *weights = b->row[j];
    vf_store(b->inverse + column, vf_set1(1.0f));
}

// Gradients of the scores of the only query of a panel, and dout times what its weights lack.
static void row_gradients(const struct shk_attention *a, const struct block *b, const float *dout, size_t column) {
    const size_t ld = shk_round16(a->tokens);
    const vf by = vf_set1(b->inverse[column] * a->drop.scale), scale = vf_set1(a->scale);
    const float *weights = b->weights + column;
    float *const w = b->row, *const ds = b->row + ld, *const scaled = b->scaled + column * a->d;
    vf_store(w + ld - 16, vf_zero());
    for (size_t j = 0; j < a->tokens; j++, weights += b->columns) w[j] = *weights;
    for (size_t c = 0; c < a->d; c += 16) {
        const vf g = vf_mul(vf_load(dout + c), by);
        vf_store(scaled + c, g);
        vf_store(b->panel + c, vf_mul(g, scale));
    }
    shk_times_tokens(1, a->tokens, a->d, a->v, a->ld_kv, b->panel, ds);
    vf sum = vf_zero();
    for (size_t j = 0; j < ld; j += 16) {
        const vf x = vf_mul(vf_load(ds + j), vf_max(vf_zero(), vf_load(w + j)));
        sum = vf_add(sum, x);
        vf_store(ds + j, x);
    }
    const vf delta = vf_set1(vf_sum(sum));
    for (size_t j = 0; j < ld; j += 16) vf_store(ds + j, vf_fnma(vf_abs(vf_load(w + j)), delta, vf_load(ds + j)));
    for (size_t j = 0; j < a->tokens; j++) b->ds[j * b->columns + column] = ds[j];
    for (size_t j = 0; b->dropped && j < a->tokens; j++) b->dropped[j * b->columns + column] = w[j] > 0 ? w[j] : 0;
}

void SHK_KERNEL(attention_forward)(const struct shk_attention *a) {
    for (struct block b = {0}; next_block(a, &b);) {
        const float *const q = a->q + b.first * a->ld_q;
        for (size_t column = 0; column < b.columns; column += 16) {
            _Alignas(64) float most[16];
            vf_store(most, vf_set1(-INFINITY));
            const size_t rows = lanes(&b, column);
            if (rows == 1) {
                weigh_row(a, &b, q + column * a->ld_q, column);
                continue;
            }
            transpose(rows, a->d, q + column * a->ld_q, a->ld_q, NULL, NULL, a->scale * 1.44269504f, b.panel);
            float *const weights = b.weights + column, *const inverse = b.inverse + column;
            if (rows > 8) {
                tile_tokens(vf_score_tiles, GEMM_ROWS, a, &b, a->k, column, most);
                vf_softmax(a->tokens, b.columns, most, weights, inverse);
            } else {
                tile_tokens(vh_score_tiles, HALF_ROWS, a, &b, a->k, column, most);
                vh_softmax(a->tokens, b.columns, most, weights, inverse);
            }
        }
        float *const out = a->out + b.first * a->ld_out;
        if (!b.dropped) {
            sum_tokens(a, &b, b.weights, a->v, b.inverse, out, a->ld_out);
            continue;
        }
        shk_drop_weights(&a->drop, 1.0f, a->element + (uint32_t)(b.first * a->tokens), a->tokens * b.columns, b.weights,
                         b.dropped);
        float *const factor = b.scaled; // [columns], since d is 16 at least
        for (size_t i = 0; i < b.columns; i += 16)
            vf_store(factor + i, vf_mul(vf_load(b.inverse + i), vf_set1(a->drop.scale)));
        sum_tokens(a, &b, b.dropped, a->v, factor, out, a->ld_out);
    }
}

void SHK_KERNEL(attention_backward)(const struct shk_attention *a) {
    for (struct block b = {0}; next_block(a, &b);) {
        for (size_t column = 0; column < b.columns; column += 16) {
            _Alignas(64) float by[16], sum[16] = {0};
            const size_t rows = lanes(&b, column);
            const float *const dout = a->dout + (b.first + column) * a->ld_out;
            if (rows == 1) {
                row_gradients(a, &b, dout, column);
                continue;
            }
            const float *const weights = b.weights + column, *const inverse = b.inverse + column;
            float *const ds = b.ds + column;
            vf_store(by, vf_mul(vf_load(inverse), vf_set1(a->drop.scale)));
            transpose(rows, a->d, dout, a->ld_out, by, b.scaled + column * a->d, a->scale, b.panel);
            if (rows > 8) {
                tile_tokens(vf_gradient_tiles, GEMM_ROWS, a, &b, a->v, column, sum);
                vf_softmax_backward(a->tokens, b.columns, b.dropped, sum, inverse, weights, ds);
            } else {
                tile_tokens(vh_gradient_tiles, HALF_ROWS, a, &b, a->v, column, sum);
                vh_softmax_backward(a->tokens, b.columns, b.dropped, sum, inverse, weights, ds);
            }
        }
        sum_queries(a, &b, b.dropped ? b.dropped : b.weights, b.scaled, a->d, a->dv);
        sum_queries(a, &b, b.ds, a->q + b.first * a->ld_q, a->ld_q, a->dk);
        sum_tokens(a, &b, b.ds, a->k, NULL, a->dq + b.first * a->ld_q, a->ld_q);
    }
}
