// SPDX-License-Identifier: MIT
// The select_cls op lets CLS alone go on: row 0 of a token matrix.
#include "nn/ops/select_cls.h"

#include "nn/ops/ops.h"
#include <string.h>

static struct shk_view row0_of(struct shk_view v) {
    v.rows = 1;
    return v;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    if (op->out.buffer == op->in.buffer) return;
    for (size_t i = 0; i < s->samples; i++)
        memcpy(shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out),
               shk_rows_at(s, &op->in) + i * shk_sample_stride(s, &op->in), op->out.cols * sizeof(float));
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_view row0 = row0_of(op->in_grad);
    s->k->add(&(struct shk_add){s->samples, op->out.cols, shk_rows_at(s, &op->out_grad),
                                shk_row_stride(s, &op->out_grad), shk_rows_at(s, &row0), shk_row_stride(s, &row0)});
}

struct shk_op *shk_select_cls_new(struct shk_lowering *f, bool copy) {
    struct shk_op *op = shk_op_new(f, &shk_op_select_cls, "select cls", shk_input_of(f));
    if (!op) return NULL;
    op->accumulate = true;
    op->out = copy ? shk_view_new(f->plan, 1, op->in.cols) : row0_of(op->in);
    op->out_grad = shk_grad_new(f->plan, 1, op->out.cols);
    return op;
}

static bool match(struct shk_lowering *f) {
    if (!shk_layer_is(f, f->at, SHK_SELECT_CLS) || shk_reads_last(f)) return false;
    const struct shk_axis axis = shk_input_of(f)->axis;
    struct shk_op *op = shk_select_cls_new(f, false);
    if (!op) return false;
    shk_gives(f, f->at, op, axis);
    return true;
}

static void declare(struct shk_op *op) {
    const bool in_place = op->out.buffer == op->in.buffer;
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD);
    if (!in_place) shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD);
    shk_op_uses(op, op->in_grad.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_select_cls = {.name = "select_cls",
                                              .size = sizeof(struct shk_op),
                                              .match = match,
                                              .declare = declare,
                                              .run = {forward, input_gradient}};
