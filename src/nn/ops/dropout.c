// SPDX-License-Identifier: MIT
// The dropout op leaves out some elements in training, where no op of another layer takes it in.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

struct dropout {
    struct shk_op op;
    struct shk_drops drops;
    int mask; // [rows * cols / 16] of 16 bits; or -1
};

static inline const struct dropout *dropout_of(const struct shk_op *op) { return (const struct dropout *)op; }

static uint16_t *mask_at(const struct dropout *d, const struct shk_slice *s, size_t sample) {
    if (d->mask < 0) return NULL;
    return (uint16_t *)(shk_buffer_at(s, d->mask) + sample * s->plan->buffers[d->mask].per_sample);
}

static struct shk_dropout kernel_of(const struct dropout *d, const struct shk_slice *s, size_t sample) {
    return (struct shk_dropout){.rows = 1,
                                .cols = d->op.out.rows * d->op.out.cols,
                                .mask = mask_at(d, s, sample),
                                .scale = shk_dropout_scale(d->drops.threshold)};
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct dropout *d = dropout_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout k = kernel_of(d, s, i);
        struct shk_dropout_mask draw = {k.cols, mask_at(d, s, i), shk_dropout_of(&d->drops, s, i), 0};
        if (draw.mask) s->k->dropout_mask(&draw);
        k.x = shk_sample_at(s, &op->in, i);
        k.y = shk_sample_at(s, &op->out, i);
        s->k->dropout_forward(&k);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout k = kernel_of(dropout_of(op), s, i);
        k.dy = shk_sample_at(s, &op->out_grad, i);
        k.dx = shk_sample_at(s, op->accumulate ? &op->out_grad : &op->in_grad, i);
        s->k->dropout_backward(&k);
        shk_add_gradient(op, s, i);
    }
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_DROPOUT) return false;
    const struct shk_value in = *shk_input_of(f);
    const bool in_order = in.axis.count == 1 || in.axis.count == 3; // of rows, or of a map flattened; not that of heads
    if (!shk_is_dense(&in.value) || !in_order) return false;
    struct dropout *d = shk_op_new(f, &shk_op_dropout, l->name, &in);
    if (!d) return false;
    const size_t rows = in.value.rows, cols = in.value.cols;
    d->drops = shk_drops_of(f, l, l->dropout.p);
    d->mask = d->drops.threshold ? shk_buffer_new(f->plan, (rows * cols / 16 + 1) / 2) : -1;
    d->op.out = shk_view_new(f->plan, rows, cols);
    d->op.out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, f->at, &d->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses_views(op, 0, 0);
    if (op->accumulate) shk_op_uses(op, op->out_grad.buffer, SHK_WRITES_BACKWARD);
    shk_op_uses(op, dropout_of(op)->mask, SHK_READS_FORWARD | SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_dropout = {.name = "dropout",
                                           .size = sizeof(struct dropout),
                                           .match = match,
                                           .declare = declare,
                                           .run = {forward, input_gradient}};
