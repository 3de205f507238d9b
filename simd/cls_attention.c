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

// c [heads][round16(tokens)] = rows [heads][cols] times x^T, pad columns 0.
static void times_tokens(const struct shk_cls_attention *a, const float *rows, float *c) {
    shk_times_tokens(a->heads, a->tokens, a->cols, a->x, a->x_row, rows, c);
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
