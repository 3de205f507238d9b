// SPDX-License-Identifier: MIT
// Scaled dot-product attention of one head and its gradients (kernels.h): products through the GEMM kernel. Scores lie
// with the queries side by side, so that softmax runs down columns, 16 queries at once, and nothing is summed across
// lanes.
#include "attention.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

#if defined(SHK_ISA_C)
static size_t block_columns(size_t queries) {
    const size_t columns = shk_round16(queries);
    return columns < SHK_ATTENTION_BLOCK ? columns : SHK_ATTENTION_BLOCK;
}

// Of a block of queries: scaled gradients of the outputs and panels of their transpose (or of q's), then dropped-out
// weights, then gradients of the scores.
size_t shk_attention_scratch(size_t queries, size_t tokens, size_t d) {
    return 2 * block_columns(queries) * (d + tokens) * sizeof(float);
}
#endif

// Up to SHK_ATTENTION_BLOCK queries.
struct block {
    size_t first, queries, columns; // columns: queries rounded up to 16
    float *weights;                 // [tokens][columns]
    float *inverse;                 // [columns]
};

static bool next_block(const struct shk_attention *a, struct block *b) {
    b->first += b->queries;
    if (b->first >= a->queries) return false;
    const size_t left = a->queries - b->first;
    b->queries = left < SHK_ATTENTION_BLOCK ? left : SHK_ATTENTION_BLOCK;
    b->columns = shk_round16(b->queries);
    b->weights = a->p + b->first * a->tokens;
    b->inverse = a->p + shk_round16(a->queries) * a->tokens + b->first;
    return true;
}

// c [tokens][columns] = rows [tokens][d] times panels.
static void times_panels(const struct shk_attention *a, const struct block *b, const float *rows, const float *panels,
                         float *c) {
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = b->columns,
        .k = a->d,
        .a = rows,
        .a_row = (ptrdiff_t)a->ld_kv,
        .a_col = 1,
        .b = panels,
        .b_row = 16,
        .b_panel = 16 * (ptrdiff_t)a->d,
        .c = c,
        .c_row = (ptrdiff_t)b->columns,
        .c_panel = 16,
    });
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

// c [queries][d] = transposed weights [tokens][columns] times rows [tokens][d].
static void sum_tokens(const struct shk_attention *a, const struct block *b, const float *weights, const float *rows,
                       float *c, size_t ld) {
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
    });
}

// Rows [queries][d] of y = x times each query's inverse; y may be x.
static void scale_rows(const struct shk_attention *a, const struct block *b, const float *x, size_t x_row, float *y,
                       size_t y_row) {
    for (size_t i = 0; i < b->queries; i++) {
        const vf by = vf_set1(b->inverse[i]);
        for (size_t c = 0; c < a->d; c += 16) vf_store(y + i * y_row + c, vf_mul(vf_load(x + i * x_row + c), by));
    }
}

// Chains in flight down a column.
enum { CHAINS = 4 };

SHK_INLINE vf add_chains(const vf sum[CHAINS]) { return vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3])); }

// Scores to weights that are not yet divided by their sums, and the inverses of these.
static void softmax_columns(const struct shk_attention *a, const struct block *b) {
    const size_t ld = b->columns;
    const vf factor = vf_set1(a->scale * 1.44269504f); // log2(e)
    for (size_t column = 0; column < b->columns; column += 16) {
        float *const s = b->weights + column;
        vf most[CHAINS], sum[CHAINS];
        SHK_UNROLL
        for (int t = 0; t < CHAINS; t++) {
            most[t] = vf_set1(-INFINITY);
            sum[t] = vf_zero();
        }
        size_t j = 0;
        for (; j + CHAINS <= a->tokens; j += CHAINS) {
            SHK_UNROLL
            for (int t = 0; t < CHAINS; t++) most[t] = vf_max(vf_load(s + (j + (size_t)t) * ld), most[t]);
        }
        for (; j < a->tokens; j++) most[0] = vf_max(vf_load(s + j * ld), most[0]);
        const vf shift = vf_neg(vf_mul(vf_max(vf_max(most[0], most[1]), vf_max(most[2], most[3])), factor));
        for (j = 0; j < a->tokens; j += CHAINS) {
            SHK_UNROLL
            for (int t = 0; t < CHAINS; t++) {
                if (j + (size_t)t >= a->tokens) break;
                float *const at = s + (j + (size_t)t) * ld;
                const vf e = vf_exp2_weight(vf_fma(vf_load(at), factor, shift));
                sum[t] = vf_add(sum[t], e);
                vf_store(at, e);
            }
        }
        vf_store(b->inverse + column, vf_div(vf_set1(1.0f), add_chains(sum)));
    }
}

void SHK_KERNEL(attention_forward)(const struct shk_attention *a) {
    const bool drop = a->drop.threshold != 0;
    for (struct block b = {0}; next_block(a, &b);) {
        float *const panels = a->scratch, *const dropped = panels + 2 * b.columns * a->d;
        shk_transpose_panels(b.queries, a->d, a->q + b.first * a->ld_q, (ptrdiff_t)a->ld_q, panels);
        times_panels(a, &b, a->k, panels, b.weights);
        softmax_columns(a, &b);
        if (drop)
            shk_drop_weights(&a->drop, a->element + (uint32_t)(b.first * a->tokens), a->tokens * b.columns, b.weights,
                             dropped);
        float *const out = a->out + b.first * a->ld_out;
        sum_tokens(a, &b, drop ? dropped : b.weights, a->v, out, a->ld_out);
        scale_rows(a, &b, out, a->ld_out, out, a->ld_out);
    }
}

// On entry ds holds the gradients of the weights that met the values, times each query's inverse. dropped: these
// weights, not divided by their sums (not written without dropout, where they are b->weights). ds = gradients of scores.
static void softmax_backward_columns(const struct shk_attention *a, const struct block *b, float *dropped, float *ds) {
    const size_t ld = b->columns;
    const bool drop = a->drop.threshold != 0;
    const vf scale = vf_set1(a->scale), drop_scale = vf_set1(a->drop.scale);
    if (drop) {
        for (size_t i = 0; i < a->tokens * ld; i += 16) {
            const vf e = vf_load(b->weights + i);
            vf_store(dropped + i, vf_keep(vm_not(vf_lt(e, vf_zero())), vf_mul(e, drop_scale)));
        }
    }
    for (size_t column = 0; column < b->columns; column += 16) {
        const float *const met = (drop ? dropped : b->weights) + column, *const e = b->weights + column;
        float *const g = ds + column;
        vf sum[CHAINS];
        SHK_UNROLL
        for (int t = 0; t < CHAINS; t++) sum[t] = vf_zero();
        for (size_t j = 0; j < a->tokens; j += CHAINS) {
            SHK_UNROLL
            for (int t = 0; t < CHAINS; t++) {
                if (j + (size_t)t >= a->tokens) break;
                const size_t at = (j + (size_t)t) * ld;
                sum[t] = vf_fma(vf_load(met + at), vf_load(g + at), sum[t]);
            }
        }
        const vf delta = vf_mul(add_chains(sum), vf_load(b->inverse + column));
        for (size_t j = 0; j < a->tokens; j++) {
            const size_t at = j * ld;
            const vf gradient = vf_fnma(vf_abs(vf_load(e + at)), delta, vf_mul(vf_load(met + at), vf_load(g + at)));
            vf_store(g + at, vf_mul(gradient, scale));
        }
    }
}

void SHK_KERNEL(attention_backward)(const struct shk_attention *a) {
    for (struct block b = {0}; next_block(a, &b);) {
        float *const scaled = a->scratch, *const panels = scaled + b.columns * a->d;
        float *const dropped = panels + b.columns * a->d, *const ds = dropped + a->tokens * b.columns;
        scale_rows(a, &b, a->dout + b.first * a->ld_out, a->ld_out, scaled, a->d);
        shk_transpose_panels(b.queries, a->d, scaled, (ptrdiff_t)a->d, panels);
        times_panels(a, &b, a->v, panels, ds);
        softmax_backward_columns(a, &b, dropped, ds);
        sum_queries(a, &b, a->drop.threshold != 0 ? dropped : b.weights, scaled, a->d, a->dv);
        sum_queries(a, &b, ds, a->q + b.first * a->ld_q, a->ld_q, a->dk);
        sum_tokens(a, &b, ds, a->k, a->dq + b.first * a->ld_q, a->ld_q);
    }
}
