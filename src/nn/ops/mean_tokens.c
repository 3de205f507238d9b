// SPDX-License-Identifier: MIT
// The mean_tokens op takes the mean over the rows of a token matrix, or the pixels of a map.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    float inverse = 1.0f / (float)op->in.rows;
    for (size_t i = 0; i < s->samples; i++) {
        float *out = shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out);
        const float *x = shk_rows_at(s, &op->in) + i * shk_sample_stride(s, &op->in);
        s->k->column_sum(&(struct shk_column_sum){.rows = op->in.rows,
                                                  .cols = op->in.cols,
                                                  .x = x,
                                                  .row = (ptrdiff_t)op->in.ld,
                                                  .sum = out,
                                                  .in_blocks = true});
        for (size_t c = 0; c < op->out.cols; c++) out[c] *= inverse;
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    float inverse = 1.0f / (float)op->in.rows;
    for (size_t i = 0; i < s->samples; i++) {
        const float *dy = shk_rows_at(s, &op->out_grad) + i * shk_sample_stride(s, &op->out_grad);
        float *dx = shk_rows_at(s, &op->in_grad) + i * shk_sample_stride(s, &op->in_grad);
        for (size_t r = 0; r < op->in.rows; r++)
            for (size_t c = 0; c < op->in.cols; c++)
                dx[r * op->in.ld + c] = (op->accumulate ? dx[r * op->in.ld + c] : 0) + dy[c] * inverse;
    }
}

static bool match(struct shk_lowering *f) {
    if (!shk_layer_is(f, f->at, SHK_MEAN_TOKENS)) return false;
    const struct shk_axis axis = shk_input_of(f)->axis;
    if (!shk_is_dense(&shk_input_of(f)->value)) return false;
    struct shk_op *op = shk_op_new(f, &shk_op_mean_tokens, "mean", shk_input_of(f));
    if (!op) return false;
    op->out = shk_view_new(f->plan, 1, op->in.cols);
    op->out_grad = shk_grad_new(f->plan, 1, op->in.cols);
    shk_gives(f, f->at, op, axis);
    return true;
}

static void declare(struct shk_op *op) { shk_op_uses_views(op, 0, 0); }

const struct shk_op_type shk_op_mean_tokens = {.name = "mean_tokens",
                                               .size = sizeof(struct shk_op),
                                               .match = match,
                                               .declare = declare,
                                               .run = {forward, input_gradient}};
