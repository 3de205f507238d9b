// SPDX-License-Identifier: MIT
// These work on rows and elements: normalisation, loss, activations, dropout and sums.
#include "bench/cases.h"

#include <string.h>

static const void *layernorm(struct shk_operands *o, const void *detail) {
    (void)detail;
    struct shk_layernorm n = {.rows = TOKENS, .cols = DIM, .eps = 1e-5f, .stats_row = 2};
    n.x_row = n.y_row = n.dy_row = n.dx_row = DIM;
    n.x = shk_operands_floats(o, TOKENS * DIM);
    n.gamma = shk_operands_floats(o, DIM);
    n.beta = shk_operands_floats(o, DIM);
    n.y = shk_operands_result(o, TOKENS * DIM);
    n.stats = shk_operands_result(o, 2 * TOKENS);
    n.dy = shk_operands_floats(o, TOKENS * DIM);
    n.dx = shk_operands_result(o, TOKENS * DIM);
    n.dgamma = shk_operands_result(o, DIM);
    n.dbeta = shk_operands_result(o, DIM);
    return shk_operands_keep(o, &n, sizeof n);
}

enum { CLASSES = 9, LOGITS = 16 };

static const void *cross_entropy(struct shk_operands *o, const void *detail) {
    (void)detail;
    struct shk_cross_entropy c = {.rows = SAMPLES, .classes = CLASSES, .row = LOGITS, .scale = 1.0f / SAMPLES};
    c.logits = shk_operands_floats(o, SAMPLES * LOGITS);
    c.labels = shk_operands_zeros(o, SAMPLES, sizeof *c.labels);
    c.dlogits = shk_operands_result(o, SAMPLES * LOGITS);
    c.loss = shk_operands_result(o, SAMPLES);
    const size_t bytes = SAMPLES * sizeof *c.predicted;
    c.predicted = shk_operands_output(o, shk_operands_zeros(o, 1, bytes), bytes);
    return shk_operands_keep(o, &c, sizeof c);
}

// ---- Elements ----

enum { HIDDEN = TOKENS * FF };

static const void *gelu(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_gelu g = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_result(o, HIDDEN),
                               shk_operands_result(o, HIDDEN)};
    return shk_operands_keep(o, &g, sizeof g);
}

static const void *silu(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_silu s = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_result(o, HIDDEN),
                               shk_operands_result(o, HIDDEN)};
    return shk_operands_keep(o, &s, sizeof s);
}

static const void *hardswish(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_hardswish s = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_result(o, HIDDEN),
                                    shk_operands_result(o, HIDDEN)};
    return shk_operands_keep(o, &s, sizeof s);
}

static const void *sigmoid(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_sigmoid s = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_result(o, HIDDEN),
                                  shk_operands_result(o, HIDDEN)};
    return shk_operands_keep(o, &s, sizeof s);
}

static const void *multiply(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_multiply m = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_floats(o, HIDDEN),
                                   shk_operands_result(o, HIDDEN)};
    return shk_operands_keep(o, &m, sizeof m);
}

static const void *relu_forward(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_relu_forward r = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_result(o, HIDDEN)};
    return shk_operands_keep(o, &r, sizeof r);
}

static const void *relu_backward(struct shk_operands *o, const void *detail) {
    (void)detail;
    const struct shk_relu_backward r = {HIDDEN, shk_operands_floats(o, HIDDEN), shk_operands_floats(o, HIDDEN),
                                        shk_operands_result(o, HIDDEN), 1};
    return shk_operands_keep(o, &r, sizeof r);
}

// ---- Dropout ----

struct dropout {
    size_t cols;
    bool residual;
};

static const void *dropout_mask(struct shk_operands *o, const void *detail) {
    const struct dropout *d = detail;
    const size_t n = TOKENS * d->cols, bytes = n / 8;
    const struct shk_dropout_mask m = {n, shk_operands_output(o, shk_operands_zeros(o, 1, bytes), bytes),
                                       shk_dropout_of_case(true), 0};
    return shk_operands_keep(o, &m, sizeof m);
}

// Seven of eight stay.
static const uint16_t *any_mask(struct shk_operands *o, size_t n) {
    uint16_t *mask = shk_operands_zeros(o, n / 16, sizeof *mask);
    for (size_t i = 0; mask && i < n / 16; i++) mask[i] = (uint16_t)(0xfefe << i % 8 | 0xfefe >> (8 - i % 8));
    return mask;
}

static const void *dropout(struct shk_operands *o, const void *detail) {
    const struct dropout *r = detail;
    const size_t n = TOKENS * r->cols;
    const struct shk_dropout_spec spec = shk_dropout_of_case(true);
    struct shk_dropout d = {.rows = TOKENS, .cols = r->cols, .mask = any_mask(o, n), .scale = spec.scale};
    d.x_row = d.y_row = d.residual_row = d.dy_row = d.dx_row = (ptrdiff_t)r->cols;
    d.x = shk_operands_floats(o, n);
    if (r->residual) d.residual = shk_operands_floats(o, n);
    d.y = shk_operands_result(o, n);
    d.dy = shk_operands_floats(o, n);
    d.dx = shk_operands_result(o, n);
    return shk_operands_keep(o, &d, sizeof d);
}

// ---- Sums ----

static const void *add(struct shk_operands *o, const void *detail) {
    (void)detail;
    enum { N = TOKENS * DIM };
    const struct shk_add a = {TOKENS,
                              DIM,
                              shk_operands_floats(o, N),
                              DIM,
                              shk_operands_output(o, shk_operands_floats(o, N), N * sizeof(float)),
                              DIM};
    return shk_operands_keep(o, &a, sizeof a);
}

static const void *column_sum(struct shk_operands *o, const void *detail) {
    const size_t cols = *(const size_t *)detail;
    const struct shk_column_sum s = {.rows = TOKENS,
                                     .cols = cols,
                                     .x = shk_operands_floats(o, TOKENS * cols),
                                     .row = (ptrdiff_t)cols,
                                     .sum = shk_operands_result(o, cols)};
    return shk_operands_keep(o, &s, sizeof s);
}

#define FLOATS(n) (sizeof(float) * (double)(n))
#define ROWS_CASE(name, shape_, bytes_, prepare_)                                                                      \
    { .kernel = KERNEL_##name, .shape = shape_, .bytes = bytes_, .prepare = prepare_ }
#define DROPOUT(name, shape_, cols, residual, bytes_, prepare_)                                                        \
    {                                                                                                                  \
        .kernel = KERNEL_##name, .shape = shape_, .bytes = (bytes_)*FLOATS(TOKENS * (cols)), .prepare = prepare_,      \
        .detail = &(const struct dropout){cols, residual},                                                             \
    }
#define COLUMN_SUM(shape_, cols)                                                                                       \
    {                                                                                                                  \
        .kernel = KERNEL_column_sum, .shape = shape_, .bytes = FLOATS(TOKENS * (cols)), .prepare = column_sum,         \
        .detail = &(const size_t){cols},                                                                               \
    }

static const struct kernel_case cases[] = {
    ROWS_CASE(layernorm_forward, "vit-tokens", FLOATS(2 * TOKENS * DIM), layernorm),
    {.kernel = KERNEL_layernorm_backward,
     .before = KERNEL_layernorm_forward,
     .shape = "vit-tokens",
     .bytes = FLOATS(3 * TOKENS * DIM),
     .prepare = layernorm},
    ROWS_CASE(cross_entropy, "9-classes", FLOATS(2 * SAMPLES * LOGITS), cross_entropy),
    ROWS_CASE(gelu_forward, "vit-pre-hidden", FLOATS(3 * HIDDEN), gelu),
    ROWS_CASE(silu_forward, "vit-hidden", FLOATS(3 * HIDDEN), silu),
    ROWS_CASE(hardswish_forward, "vit-hidden", FLOATS(3 * HIDDEN), hardswish),
    ROWS_CASE(sigmoid_forward, "vit-hidden", FLOATS(3 * HIDDEN), sigmoid),
    ROWS_CASE(multiply, "vit-pre-hidden", FLOATS(3 * HIDDEN), multiply),
    ROWS_CASE(relu_forward, "vit-hidden", FLOATS(2 * HIDDEN), relu_forward),
    ROWS_CASE(relu_backward, "vit-hidden", FLOATS(3 * HIDDEN), relu_backward),
    DROPOUT(dropout_mask, "vit-tokens", DIM, true, 1.0 / 32, dropout_mask),
    DROPOUT(dropout_forward, "vit-tokens", DIM, true, 3, dropout),
    DROPOUT(dropout_backward, "vit-tokens", DIM, true, 2, dropout),
    DROPOUT(dropout_mask, "vit-hidden", FF, false, 1.0 / 32, dropout_mask),
    DROPOUT(dropout_forward, "vit-hidden", FF, false, 2, dropout),
    DROPOUT(dropout_backward, "vit-hidden", FF, false, 2, dropout),
    ROWS_CASE(add, "vit-tokens", FLOATS(3 * TOKENS * DIM), add),
    COLUMN_SUM("vit-64", DIM),
    COLUMN_SUM("vit-256", FF),
};
const struct kernel_cases shk_cases_of_rows = KERNEL_CASES(cases);
