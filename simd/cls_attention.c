// SPDX-License-Identifier: MIT
// Attention of CLS alone without keys and values (kernels.h): all heads of a sample at once, a row each.
#include "attention.h"

#include <string.h>

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

#if defined(SHK_ISA_C)
// Gradients of the scores, then dropped-out weights.
size_t shk_cls_attention_scratch(size_t tokens, size_t heads) {
    return shk_round16(tokens) * 2 * heads * sizeof(float);
}
#endif

// Tokens and heads whose products are summed side by side.
#if defined(SHK_ISA_AVX512)
enum { TOKENS = 4, HEADS = 4 };
#else
enum { TOKENS = 4, HEADS = 1 };
#endif

// c [heads][ld] = rows [heads][cols] times x^T, of so many heads and tokens.
SHK_INLINE void dot_tile(const int tokens, const int heads, size_t cols, const float *x, ptrdiff_t x_row,
                         const float *rows, float *c, size_t ld) {
    vf acc[HEADS][TOKENS], u[HEADS];
    SHK_UNROLL
    for (int i = 0; i < TOKENS * heads; i++) acc[i / TOKENS][i % TOKENS] = vf_zero();
    for (size_t column = 0; column < cols; column += 16) {
        SHK_UNROLL
        for (int h = 0; h < heads; h++) u[h] = vf_load(rows + (size_t)h * cols + column);
        SHK_UNROLL
        for (int t = 0; t < tokens; t++) {
            const vf token = vf_load(x + t * x_row + column);
            SHK_UNROLL
            for (int h = 0; h < heads; h++) acc[h][t] = vf_fma(u[h], token, acc[h][t]);
        }
    }
    SHK_UNROLL
    for (int h = 0; h < heads; h++, c += ld) {
        if (tokens == TOKENS)
            vf_sum4(acc[h], c);
        else
            *c = vf_sum(acc[h][0]);
    }
}

SHK_INLINE void dot_heads(const struct shk_cls_attention *a, const int heads, const float *rows, float *c) {
    const size_t ld = shk_round16(a->tokens);
    const float *x = a->x;
    size_t t = 0;
    for (int h = 0; h < heads; h++) vf_store(c + (size_t)h * ld + ld - 16, vf_zero()); // the pad columns
    for (; t + TOKENS <= a->tokens; t += TOKENS, x += TOKENS * a->x_row)
        dot_tile(TOKENS, heads, a->cols, x, a->x_row, rows, c + t, ld);
    for (; t < a->tokens; t++, x += a->x_row) dot_tile(1, heads, a->cols, x, a->x_row, rows, c + t, ld);
}

// c [heads][round16(tokens)] = rows [heads][cols] times x^T, pad columns 0.
static void times_tokens(const struct shk_cls_attention *a, const float *rows, float *c) {
    const size_t ld = shk_round16(a->tokens);
    size_t h = 0;
    for (; h + HEADS <= a->heads; h += HEADS) dot_heads(a, HEADS, rows + h * a->cols, c + h * ld);
    for (; h < a->heads; h++) dot_heads(a, 1, rows + h * a->cols, c + h * ld);
}

// sums [heads][cols] = weights [heads][round16(tokens)] times x.
static void sum_tokens(const struct shk_cls_attention *a, const float *weights, float *sums) {
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->heads,
        .n = a->cols,
        .k = a->tokens,
        .a = weights,
        .a_row = (ptrdiff_t)shk_round16(a->tokens),
        .a_col = 1,
        .b = a->x,
        .b_row = a->x_row,
        .b_panel = 16,
        .c = sums,
        .c_row = (ptrdiff_t)a->cols,
        .c_panel = 16,
    });
}

void SHK_KERNEL(cls_attention_forward)(const struct shk_cls_attention *a) {
    const size_t ld = shk_round16(a->tokens), head_elements = (ld + 127) & ~(size_t)127;
    float *const dropped = a->scratch;
    times_tokens(a, a->u, a->p);
    shk_softmax_rows(a->heads, a->tokens, a->scale, a->p);
    const bool drop = a->drop.threshold != 0;
    const float *const pd = drop ? dropped : a->p;
    for (size_t h = 0; h < a->heads; h++) {
        if (drop)
            shk_drop_weights(&a->drop, a->drop.scale, a->element + (uint32_t)(h * head_elements), ld, a->p + h * ld,
                             dropped + h * ld);
        vf sum = vf_zero();
        for (size_t i = 0; i < ld; i += 16) sum = vf_add(sum, vf_load(pd + h * ld + i));
        a->r[h] = vf_sum(sum);
    }
    sum_tokens(a, pd, a->z);
}

void SHK_KERNEL(cls_attention_backward)(const struct shk_cls_attention *a) {
    const size_t ld = shk_round16(a->tokens);
    float *const ds = a->scratch, *const pd = ds + ld * a->heads;
    times_tokens(a, a->u + a->heads * a->cols, ds);
    shk_softmax_backward_rows(a->heads, a->tokens, a->scale, &a->drop, a->dr, a->p, pd, ds);
    if (a->drop.threshold == 0) memcpy(pd, a->p, a->heads * ld * sizeof *pd);
    sum_tokens(a, ds, a->du);
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = a->cols,
        .k = 2 * a->heads,
        .a = ds,
        .a_row = 1,
        .a_col = (ptrdiff_t)ld,
        .b = a->u,
        .b_row = (ptrdiff_t)a->cols,
        .b_panel = 16,
        .c = a->dx,
        .c_row = a->dx_row,
        .c_panel = 16,
    });
}
