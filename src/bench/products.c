// SPDX-License-Identifier: MIT
// These are matrix products: dense ones, and those with gradients of which many are 0.
#include "bench/cases.h"

struct product {
    size_t m, n, k;
    bool weight_gradient; // A is X^T, and the output is added to
    bool relu;
};

static const void *product(struct shk_operands *o, const void *detail) {
    const struct product *p = detail;
    const ptrdiff_t m = (ptrdiff_t)p->m, n = (ptrdiff_t)p->n, k = (ptrdiff_t)p->k;
    const bool w = p->weight_gradient;
    struct shk_gemm g = {.m = p->m, .n = p->n, .k = p->k, .accumulate = w, .relu = p->relu};
    g.a = shk_operands_floats(o, p->m * p->k);
    g.a_row = w ? 1 : k;
    g.a_col = w ? m : 1;
    g.b = shk_operands_floats(o, p->k * p->n);
    g.b_row = w ? n : 16;
    g.b_panel = w ? 16 : k * 16;
    g.c = shk_operands_output(o, shk_operands_floats(o, p->m * p->n), p->m * p->n * sizeof(float));
    g.c_row = w ? 16 : n;
    g.c_panel = w ? m * 16 : 16;
    if (!w) g.bias = shk_operands_floats(o, p->n);
    return shk_operands_keep(o, &g, sizeof g);
}

// Behind a ReLU that has let half of its inputs through; a tile of the weights.
struct sparse_product {
    size_t outputs, inputs;
    bool weight_gradient; // ends in Adam
};

static const void *sparse_product(struct shk_operands *o, const void *detail) {
    const struct sparse_product *p = detail;
    const bool w = p->weight_gradient;
    struct shk_sparse_gemm g = {.m = w ? p->outputs : SAMPLES, .k = w ? SAMPLES : p->outputs, .n = p->inputs};
    float *a = shk_operands_floats(o, SAMPLES * p->outputs);
    for (size_t i = 0; a && i < SAMPLES * p->outputs; i++)
        if ((uint32_t)i * 2654435761u >> 16 & 1) a[i] = 0;
    g.a = a;
    g.a_row = w ? 1 : (ptrdiff_t)p->outputs;
    g.a_col = w ? (ptrdiff_t)p->outputs : 1;
    g.b = shk_operands_floats(o, g.k * g.n);
    g.b_row = g.c_row = (ptrdiff_t)g.n;
    g.c = shk_operands_result(o, g.m * g.n);
    if (w) g.rule = shk_operands_adam(o, g.m * g.n);
    return shk_operands_keep(o, &g, sizeof g);
}

#define PRODUCT(name, m, n, k, w, relu)                                                                                \
    {                                                                                                                  \
        .kernel = KERNEL_gemm, .shape = name, .flops = 2.0 * (m) * (n) * (k), .prepare = product,                      \
        .detail = &(const struct product){m, n, k, w, relu},                                                           \
    }
#define SPARSE_PRODUCT(name, outputs, inputs, w)                                                                       \
    {                                                                                                                  \
        .kernel = KERNEL_sparse_gemm, .shape = name, .flops = 1.0 * SAMPLES * (outputs) * (inputs),                    \
        .prepare = sparse_product, .detail = &(const struct sparse_product){outputs, inputs, w},                       \
    }

enum { SLICE = 32, ROWS = 4 * TOKENS }; // samples of the CNN, tokens of 4 images

static const struct kernel_case cases[] = {
    PRODUCT("cnn-fc1-forward", SLICE, 128, 2048, false, true),
    PRODUCT("cnn-fc2-forward", SLICE, 16, 128, false, false),
    PRODUCT("cnn-fc2-wgrad", 128, 16, SAMPLES, true, false),
    PRODUCT("vit-embed-forward", 64, DIM, 16, false, false),
    PRODUCT("vit-embed-wgrad", 16, DIM, 64, true, false),
    PRODUCT("vit-qkv-forward", ROWS, 3 * DIM, DIM, false, false),
    PRODUCT("vit-qkv-dgrad", ROWS, DIM, 3 * DIM, false, false),
    PRODUCT("vit-qkv-wgrad", DIM, 3 * DIM, ROWS, true, false),
    PRODUCT("vit-projection-forward", ROWS, DIM, DIM, false, false),
    PRODUCT("vit-linear1-forward", ROWS, FF, DIM, false, true),
    PRODUCT("vit-linear1-dgrad", ROWS, DIM, FF, false, false),
    PRODUCT("vit-linear1-wgrad", DIM, FF, ROWS, true, false),
    PRODUCT("vit-linear2-forward", ROWS, DIM, FF, false, false),
    PRODUCT("vit-linear2-wgrad", FF, DIM, ROWS, true, false),
    PRODUCT("vit-cls-linear1-forward", 4, FF, DIM, false, true),
    PRODUCT("vit-head-forward", 4, 16, DIM, false, false),
    SPARSE_PRODUCT("cnn-fc1-dgrad", 128, 64, false),
    SPARSE_PRODUCT("cnn-fc1-wgrad-adam", 128, 64, true),
};
const struct kernel_cases shk_cases_of_products = KERNEL_CASES(cases);
