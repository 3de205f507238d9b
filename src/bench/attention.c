// SPDX-License-Identifier: MIT
// These are attentions: of all tokens of a head, and of the class token alone in all heads.
#include "bench/cases.h"

struct shk_dropout_spec shk_dropout_of_case(bool drops) {
    const uint32_t threshold = drops ? 6554 : 0; // 0.1
    return (struct shk_dropout_spec){.threshold = threshold, .scale = 65536.0f / (float)(65536 - threshold)};
}

struct attention {
    size_t queries;
    bool dropout;
};

static const void *attention(struct shk_operands *o, const void *detail) {
    const struct attention *d = detail;
    struct shk_attention a = {.queries = d->queries, .tokens = TOKENS, .d = HEAD, .scale = 0.25f};
    float *qkv = shk_operands_floats(o, TOKENS * 3 * DIM), *dqkv = shk_operands_result(o, TOKENS * 3 * DIM);
    if (!qkv || !dqkv) return NULL;
    a.ld_q = a.ld_kv = 3 * DIM;
    a.ld_out = DIM;
    a.q = qkv;
    a.k = qkv + DIM;
    a.v = qkv + 2 * DIM;
    a.dq = dqkv;
    a.dk = dqkv + DIM;
    a.dv = dqkv + 2 * DIM;
    a.out = shk_operands_result(o, d->queries * DIM);
    a.dout = shk_operands_floats(o, d->queries * DIM);
    a.p = shk_operands_zeros(o, (TOKENS + 1) * shk_round16(d->queries), sizeof *a.p);
    a.drop = shk_dropout_of_case(d->dropout);
    a.scratch = shk_operands_zeros(o, 1, shk_attention_scratch(d->queries, TOKENS, HEAD));
    return shk_operands_keep(o, &a, sizeof a);
}

enum { HEADS = 4 };

static const void *cls_attention(struct shk_operands *o, const void *detail) {
    const bool *dropout = detail;
    struct shk_cls_attention a = {.tokens = TOKENS, .cols = DIM, .heads = HEADS, .scale = 0.25f};
    a.x = shk_operands_floats(o, TOKENS * DIM);
    a.u = shk_operands_floats(o, 2 * HEADS * DIM);
    a.x_row = a.dx_row = DIM;
    a.p = shk_operands_zeros(o, HEADS * shk_round16(TOKENS), sizeof *a.p);
    a.z = shk_operands_result(o, HEADS * DIM);
    a.r = shk_operands_result(o, HEADS);
    a.drop = shk_dropout_of_case(*dropout);
    a.dr = shk_operands_floats(o, HEADS);
    a.du = shk_operands_result(o, HEADS * DIM);
    a.dx = shk_operands_result(o, TOKENS * DIM);
    a.scratch = shk_operands_zeros(o, 1, shk_cls_attention_scratch(TOKENS, HEADS));
    return shk_operands_keep(o, &a, sizeof a);
}

// Forward are two products, backward four.
#define ATTENTION(name, first, products, shape_, queries, dropout)                                                     \
    {                                                                                                                  \
        .kernel = name, .before = first, .shape = shape_, .flops = 2.0 * (products) * (queries)*TOKENS * HEAD,         \
        .prepare = attention, .detail = &(const struct attention){queries, dropout},                                   \
    }
#define FORWARD(...) ATTENTION(KERNEL_attention_forward, NO_KERNEL, 2, __VA_ARGS__)
#define BACKWARD(...) ATTENTION(KERNEL_attention_backward, KERNEL_attention_forward, 4, __VA_ARGS__)
#define CLS(name, first, products, shape_, dropout)                                                                    \
    {                                                                                                                  \
        .kernel = name, .before = first, .shape = shape_, .flops = 2.0 * (products)*HEADS * TOKENS * DIM,              \
        .prepare = cls_attention, .detail = &(const bool){dropout},                                                    \
    }
#define CLS_FORWARD(...) CLS(KERNEL_cls_attention_forward, NO_KERNEL, 2, __VA_ARGS__)
#define CLS_BACKWARD(...) CLS(KERNEL_cls_attention_backward, KERNEL_cls_attention_forward, 4, __VA_ARGS__)

static const struct kernel_case cases[] = {
    FORWARD("vit-pre-head", TOKENS, false),
    FORWARD("vit-head-dropout", TOKENS, true),
    FORWARD("vit-pre-cls", 1, false),
    BACKWARD("vit-pre-head", TOKENS, false),
    BACKWARD("vit-head-dropout", TOKENS, true),
    BACKWARD("vit-pre-cls", 1, false),
    CLS_FORWARD("vit-pre", false),
    CLS_BACKWARD("vit-pre", false),
    CLS_FORWARD("vit-dropout", true),
    CLS_BACKWARD("vit-dropout", true),
};
const struct kernel_cases shk_cases_of_attention = KERNEL_CASES(cases);
