// SPDX-License-Identifier: MIT
// Scaled dot-product attention of one head and its gradients (kernels.h): products through the GEMM kernel, softmax row
// by row between them.
#include "attention.h"

#define KERNEL(name, type) void SHK_KERNEL(name)(const type *);
#include "kernels.def"
#undef KERNEL

// Query rows that forward takes at a time: scores stay in cache, whole tiles of 13, and their elements are whole
// dropout blocks of 128.
enum { ROWS = 104 };

#if defined(SHK_ISA_C)
// Panels of k^T or v^T, then dropped-out weights, then gradients of the scores.
size_t shk_attention_scratch(size_t queries, size_t tokens, size_t d) {
    return shk_round16(tokens) * (d + 2 * queries) * sizeof(float);
}
#endif

void SHK_KERNEL(attention_forward)(const struct shk_attention *a) {
    const size_t ld = shk_round16(a->tokens);
    float *const panels = a->scratch, *const dropped = panels + ld * a->d;
    shk_transpose_panels(a->tokens, a->d, a->k, (ptrdiff_t)a->ld_kv, panels);
    for (size_t row = 0; row < a->queries; row += ROWS) {
        const size_t rows = a->queries - row < ROWS ? a->queries - row : ROWS;
        float *const p = a->p + row * ld;
        SHK_KERNEL(gemm)
        (&(struct shk_gemm){
            .m = rows,
            .n = ld,
            .k = a->d,
            .a = a->q + row * a->ld_q,
            .a_row = (ptrdiff_t)a->ld_q,
            .a_col = 1,
            .b = panels,
            .b_row = 16,
            .b_panel = 16 * (ptrdiff_t)a->d,
            .c = p,
            .c_row = (ptrdiff_t)ld,
            .c_panel = 16,
        });
        shk_softmax_rows(rows, a->tokens, a->scale, p);
        const bool drop = a->drop.threshold != 0;
        if (drop) shk_drop_weights(&a->drop, a->element + (uint32_t)(row * ld), rows * ld, p, dropped);
        SHK_KERNEL(gemm)
        (&(struct shk_gemm){
            .m = rows,
            .n = a->d,
            .k = a->tokens,
            .a = drop ? dropped : p,
            .a_row = (ptrdiff_t)ld,
            .a_col = 1,
            .b = a->v,
            .b_row = (ptrdiff_t)a->ld_kv,
            .b_panel = 16,
            .c = a->out + row * a->ld_out,
            .c_row = (ptrdiff_t)a->ld_out,
            .c_panel = 16,
        });
    }
}

void SHK_KERNEL(attention_backward)(const struct shk_attention *a) {
    const size_t ld = shk_round16(a->tokens);
    float *const panels = a->scratch, *const ds = panels + ld * a->d, *const dropped = ds + ld * a->queries;
    shk_transpose_panels(a->tokens, a->d, a->v, (ptrdiff_t)a->ld_kv, panels);
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->queries,
        .n = ld,
        .k = a->d,
        .a = a->dout,
        .a_row = (ptrdiff_t)a->ld_out,
        .a_col = 1,
        .b = panels,
        .b_row = 16,
        .b_panel = 16 * (ptrdiff_t)a->d,
        .c = ds,
        .c_row = (ptrdiff_t)ld,
        .c_panel = 16,
    });
    shk_softmax_backward_rows(a->queries, a->tokens, a->scale, &a->drop, a->p, dropped, ds);
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = a->d,
        .k = a->queries,
        .a = a->drop.threshold != 0 ? dropped : a->p,
        .a_row = 1,
        .a_col = (ptrdiff_t)ld,
        .b = a->dout,
        .b_row = (ptrdiff_t)a->ld_out,
        .b_panel = 16,
        .c = a->dv,
        .c_row = (ptrdiff_t)a->ld_kv,
        .c_panel = 16,
    });
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->queries,
        .n = a->d,
        .k = a->tokens,
        .a = ds,
        .a_row = (ptrdiff_t)ld,
        .a_col = 1,
        .b = a->k,
        .b_row = (ptrdiff_t)a->ld_kv,
        .b_panel = 16,
        .c = a->dq,
        .c_row = (ptrdiff_t)a->ld_q,
        .c_panel = 16,
    });
    SHK_KERNEL(gemm)
    (&(struct shk_gemm){
        .m = a->tokens,
        .n = a->d,
        .k = a->queries,
        .a = ds,
        .a_row = 1,
        .a_col = (ptrdiff_t)ld,
        .b = a->q,
        .b_row = (ptrdiff_t)a->ld_q,
        .b_panel = 16,
        .c = a->dk,
        .c_row = (ptrdiff_t)a->ld_kv,
        .c_panel = 16,
    });
}
