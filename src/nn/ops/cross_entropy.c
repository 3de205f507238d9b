// SPDX-License-Identifier: MIT
// The cross_entropy op makes loss, prediction and, in training, the gradient of the logits.
#include "nn/ops/ops.h"
#include "nn/plan/lower.h"
#include <string.h>

// Before the kernel, which may write the gradient in their place.
static void copy_logits(const struct shk_cross_entropy *x, float *to) {
    for (size_t r = 0; r < x->rows; r++) memcpy(to + r * x->classes, x->logits + r * x->row, x->classes * sizeof *to);
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_cross_entropy x = {.rows = s->samples,
                                  .classes = s->plan->model->shape.classes,
                                  .logits = shk_rows_at(s, &op->in),
                                  .row = shk_row_stride(s, &op->in),
                                  .labels = s->labels,
                                  .scale = 1.0f / (float)s->batch_samples,
                                  .dlogits = op->in_grad.buffer >= 0 ? shk_rows_at(s, &op->in_grad) : NULL,
                                  .loss = s->loss,
                                  .predicted = s->predicted};
    if (s->logits) copy_logits(&x, s->logits);
    s->k->cross_entropy(&x);
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_CROSS_ENTROPY || l->out.h != 1 || l->out.c != f->plan->model->shape.classes ||
        shk_input_of(f)->axis.count != 1 || shk_graph_consumer(f->graph, l->in[0]) < 0)
        return false;
    struct shk_op *op = shk_op_new(f, &shk_op_cross_entropy, "cross-entropy", shk_input_of(f));
    if (op) shk_takes(f, f->at);
    return op;
}

static void declare(struct shk_op *op) {
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD);
    shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_FORWARD);
}

const struct shk_op_type shk_op_cross_entropy = {
    .name = "cross_entropy", .size = sizeof(struct shk_op), .match = match, .declare = declare, .run = {forward}};
