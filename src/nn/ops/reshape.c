// SPDX-License-Identifier: MIT
// A map flattened, or a row for each of its pixels, is the same numbers seen in another way: no op is made for it, unless others
// read the map, too. Then the reshape op copies it.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

static size_t bytes_of(const struct shk_op *op) { return op->in.rows * op->in.cols * sizeof(float); }

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++)
        memcpy(shk_sample_at(s, &op->out, i), shk_sample_at(s, &op->in, i), bytes_of(op));
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        shk_add_gradient(op, s, i);
        if (!op->accumulate)
            memcpy(shk_sample_at(s, &op->in_grad, i), shk_sample_at(s, &op->out_grad, i), bytes_of(op));
    }
}

static struct shk_view one_row(struct shk_view v) {
    if (v.buffer < 0) return v;
    return (struct shk_view){v.buffer, v.offset, 1, v.rows * v.cols, v.rows * v.cols};
}

// The numbers of the map, where nobody else reads it.
static void take_over(struct shk_lowering *f, const struct shk_value *in, bool flat, struct shk_axis axis) {
    f->values[f->at] = (struct shk_value){flat ? one_row(in->value) : in->value, flat ? one_row(in->grad) : in->grad,
                                          axis, in->op, false};
    shk_takes(f, f->at);
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    const bool flat = l->kind == SHK_FLATTEN;
    if (!flat && l->kind != SHK_TOKENS) return false;
    const struct shk_value in = *shk_input_of(f);
    const struct shk_extent map = shk_layer_at(f, l->in[0])->out;
    if (!map.map || in.axis.count != 1 || !shk_is_dense(&in.value)) return false;
    const struct shk_axis axis = flat ? shk_flat_axis(map, in.value.ld) : in.axis;
    if (shk_graph_consumer(f->graph, l->in[0]) >= 0) {
        take_over(f, &in, flat, axis);
        return true;
    }
    struct shk_op *op = shk_op_new(f, &shk_op_reshape, l->name, &in);
    if (!op) return false;
    const size_t rows = flat ? 1 : in.value.rows, cols = in.value.rows * in.value.cols / rows;
    op->out = shk_view_new(f->plan, rows, cols);
    op->out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, f->at, op, axis);
    return true;
}

static void declare(struct shk_op *op) { shk_op_uses_views(op, 0, 0); }

const struct shk_op_type shk_op_reshape = {.name = "reshape",
                                           .size = sizeof(struct shk_op),
                                           .match = match,
                                           .declare = declare,
                                           .run = {forward, input_gradient}};
