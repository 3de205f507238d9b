// SPDX-License-Identifier: MIT
// Attention of CLS alone takes all heads of a sample at once, a row each.
#include "attention_parts.h"

#include <string.h>

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

// Bit j of lane i: whether element 128 * (block + i) + 16j falls to dropout.
static vi draw_blocks(const struct shk_dropout_spec *drop, uint32_t block) {
    const vi half = vi_set1(0xffff), threshold = vi_set1(drop->threshold);
    vi words[4], bits = vi_set1(0);
    shk_philox16(&drop->stream, vi_shl(shk_philox_from(block), 4), 7, words);
    SHK_UNROLL
    for (int w = 0; w < 4; w++) {
        const vm low = vi_lt(vi_and(words[w], half), threshold), high = vi_lt(vi_shr(words[w], 16), threshold);
        bits = vi_select(low, vi_or(bits, vi_set1(1u << (2 * w))), bits);
        bits = vi_select(high, vi_or(bits, vi_set1(2u << (2 * w))), bits);
    }
    return bits;
}

static vi permute(vi x, vi at) { return vf_as_vi(vf_permute(vi_as_vf(x), at)); }

// Drops weights of a head. Its elements lie `columns` apart, a multiple of 16 and at most 128, so that 16 tokens lie in
// at most 16 blocks of 128 elements, in the same places of these for any 16 tokens.
static void drop_head(const struct shk_cls_attention *a, uint32_t element, uint32_t columns, float *p, float *dropped) {
    enum { CHUNK = 128 }; // tokens
    static const uint32_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128};
    const vi elements = vi_mullo(vi_iota(), vi_set1(columns)), block = vi_shr(elements, 7);
    const vi bit = permute(vi_loadu(bits), vi_and(vi_shr(elements, 4), vi_set1(7)));
    const vf scale = vf_set1(a->drop.scale);
    _Alignas(64) uint32_t drawn[CHUNK] = {0};
    for (size_t t = 0; t < a->tokens; t += CHUNK, element += CHUNK * columns) {
        const size_t tokens = a->tokens - t < CHUNK ? a->tokens - t : CHUNK;
        for (size_t b = 0; 128 * b < tokens * columns; b += 16)
            vi_store(drawn + b, draw_blocks(&a->drop, element / 128 + (uint32_t)b));
        for (size_t i = 0; i < tokens; i += 16) {
            const vi own = permute(vi_loadu(drawn + i * columns / 128), block);
            shk_drop16(vi_eq(vi_and(own, bit), vi_set1(0)), scale, p + t + i, dropped + t + i);
        }
    }
}

void SHK_KERNEL(cls_attention_forward)(const struct shk_cls_attention *a) {
    const size_t ld = shk_round16(a->tokens), columns = ld < SHK_ATTENTION_BLOCK ? ld : SHK_ATTENTION_BLOCK;
    const size_t head_elements = (a->tokens * ld + 127) & ~(size_t)127;
    float *const dropped = a->scratch;
    times_tokens(a, a->u, a->p);
    shk_softmax_rows(a->heads, a->tokens, a->scale, a->p);
    const bool drop = a->drop.threshold != 0;
    const float *const pd = drop ? dropped : a->p;
    for (size_t h = 0; h < a->heads; h++) {
        if (drop)
            drop_head(a, a->element + (uint32_t)(h * head_elements), (uint32_t)columns, a->p + h * ld,
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
