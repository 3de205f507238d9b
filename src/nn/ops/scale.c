// SPDX-License-Identifier: MIT
// The scale op multiplies each channel of a map by a factor that was made of the map, as squeeze-and-excitation does.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

struct scale {
    struct shk_op op;
    struct shk_view factor, factor_grad; // one row; nobody else reads it
};

static struct shk_scale kernel_of(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    const struct scale *a = (const struct scale *)op;
    return (struct shk_scale){.rows = op->in.rows,
                              .cols = op->in.cols,
                              .x = shk_sample_at(s, &op->in, sample),
                              .factor = shk_sample_at(s, &a->factor, sample)};
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_scale k = kernel_of(op, s, i);
        k.y = shk_sample_at(s, &op->out, i);
        s->k->scale_forward(&k);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_scale k = kernel_of(op, s, i);
        k.dy = shk_sample_at(s, &op->out_grad, i);
        k.dx = shk_sample_at(s, &op->in_grad, i);
        k.dfactor = shk_sample_at(s, &((const struct scale *)op)->factor_grad, i);
        k.accumulate = op->accumulate;
        s->k->scale_backward(&k);
    }
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_SCALE) return false;
    const struct shk_value map = f->values[l->in[0]], factor = f->values[l->in[1]];
    if (!shk_is_dense(&map.value) || map.value.cols != factor.value.cols ||
        shk_graph_consumer(f->graph, l->in[1]) != f->at)
        return false;
    struct scale *a = shk_op_new(f, &shk_op_scale, l->name, &map);
    if (!a) return false;
    a->factor = factor.value;
    a->factor_grad = factor.grad;
    a->op.out = shk_view_new(f->plan, map.value.rows, map.value.cols);
    a->op.out_grad = shk_grad_new(f->plan, map.value.rows, map.value.cols);
    shk_gives(f, f->at, &a->op, map.axis);
    return true;
}

static void declare(struct shk_op *op) {
    const struct scale *a = (const struct scale *)op;
    shk_op_uses_views(op, SHK_READS_BACKWARD, 0);
    shk_op_uses(op, a->factor.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, a->factor_grad.buffer, SHK_WRITES_BACKWARD);
}

const struct shk_op_type shk_op_scale = {.name = "scale",
                                         .size = sizeof(struct scale),
                                         .match = match,
                                         .declare = declare,
                                         .run = {forward, input_gradient}};
