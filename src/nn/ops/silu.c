// SPDX-License-Identifier: MIT
// The silu op computes SiLU of each element: y = x sigmoid(x).
#include "nn/ops/ops.h"
#include "nn/plan/lower.h"

struct silu {
    struct shk_op op;
    int derivative; // of each element, in training; or -1
};

static size_t elements(const struct shk_op *op, const struct shk_slice *s) {
    return s->samples * shk_sample_stride(s, &op->out);
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const int derivative = ((const struct silu *)op)->derivative;
    s->k->silu_forward(&(struct shk_silu){elements(op, s), shk_rows_at(s, &op->in), shk_rows_at(s, &op->out),
                                          derivative < 0 ? NULL : shk_buffer_at(s, derivative)});
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const float *derivative = shk_buffer_at(s, ((const struct silu *)op)->derivative);
    s->k->multiply(&(struct shk_multiply){elements(op, s), shk_rows_at(s, &op->out_grad), derivative,
                                          shk_rows_at(s, &op->in_grad)});
}

// Elements lie without gaps between rows.
static bool is_dense(const struct shk_lowering *f, const struct shk_view *v) {
    return v->offset == 0 && v->ld == v->cols && f->plan->buffers[v->buffer].per_sample == v->rows * v->cols;
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_SILU || shk_graph_consumer(f->graph, l->in[0]) < 0) return false;
    const struct shk_value in = *shk_input_of(f);
    if (!is_dense(f, &in.value)) return false;
    struct silu *silu = shk_op_new(f, &shk_op_silu, "silu", &in);
    if (!silu) return false;
    const size_t rows = in.value.rows, cols = in.value.cols;
    silu->derivative = f->plan->training ? shk_buffer_new(f->plan, rows * cols) : -1;
    silu->op.out = shk_view_new(f->plan, rows, cols);
    silu->op.out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, f->at, &silu->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses_views(op, 0, 0);
    shk_op_uses(op, ((struct silu *)op)->derivative, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_silu = {
    .name = "silu", .size = sizeof(struct silu), .match = match, .declare = declare, .run = {forward, input_gradient}};
