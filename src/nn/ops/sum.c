// SPDX-License-Identifier: MIT
// The sum op adds up two values, as those of the branches of a residual net, with a ReLU behind it where there is one.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

struct sum {
    struct shk_op op;
    struct shk_view other, other_grad; // the second input
    bool accumulate_other;             // its gradient is added to what is there
    bool relu;
};

static inline const struct sum *sum_of(const struct shk_op *op) { return (const struct sum *)op; }

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct sum *a = sum_of(op);
    const size_t n = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        float *y = shk_sample_at(s, &op->out, i);
        struct shk_dropout add = {.rows = 1, .cols = n, .scale = 1}; // without a mask it is a sum
        add.x = shk_sample_at(s, &op->in, i);
        add.residual = shk_sample_at(s, &a->other, i);
        add.y = y;
        s->k->dropout_forward(&add);
        if (a->relu) s->k->relu_forward(&(struct shk_relu_forward){n, y, y});
    }
}

static void give(const struct shk_slice *s, size_t n, const float *dy, float *dx, bool accumulate) {
    if (accumulate)
        s->k->add(&(struct shk_add){.rows = 1, .cols = n, .x = dy, .y = dx});
    else
        memcpy(dx, dy, n * sizeof *dx);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct sum *a = sum_of(op);
    const size_t n = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        float *dy = shk_sample_at(s, &op->out_grad, i);
        if (a->relu) s->k->relu_backward(&(struct shk_relu_backward){n, shk_sample_at(s, &op->out, i), dy, dy, 1});
        give(s, n, dy, shk_sample_at(s, &op->in_grad, i), op->accumulate);
        give(s, n, dy, shk_sample_at(s, &a->other_grad, i), a->accumulate_other);
    }
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_ADD || l->in[0] == l->in[1]) return false;
    const struct shk_value one = f->values[l->in[0]], other = f->values[l->in[1]];
    if (!shk_is_dense(&one.value) || !shk_is_dense(&other.value) || !shk_axis_equal(&one.axis, &other.axis) ||
        one.value.rows != other.value.rows || one.value.cols != other.value.cols)
        return false;
    struct sum *a = shk_op_new(f, &shk_op_sum, l->name, &one);
    if (!a) return false;
    a->other = other.value;
    a->other_grad = other.grad;
    a->accumulate_other = shk_graph_last_consumer(f->graph, l->in[1]) != f->at;
    const int relu = shk_follower(f, f->at, SHK_RELU);
    a->relu = relu >= 0;
    a->op.out = shk_view_new(f->plan, one.value.rows, one.value.cols);
    a->op.out_grad = shk_grad_new(f->plan, one.value.rows, one.value.cols);
    shk_takes(f, f->at);
    shk_gives(f, a->relu ? relu : f->at, &a->op, one.axis);
    return true;
}

static void declare(struct shk_op *op) {
    const struct sum *a = sum_of(op);
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD);
    shk_op_uses(op, a->other.buffer, SHK_READS_FORWARD);
    shk_op_uses(op, op->out.buffer, SHK_READS_FORWARD | SHK_WRITES_FORWARD | (a->relu ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | (a->relu ? SHK_WRITES_BACKWARD : 0));
    shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_BACKWARD | (op->accumulate ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, a->other_grad.buffer, SHK_WRITES_BACKWARD | (a->accumulate_other ? SHK_READS_BACKWARD : 0));
}

const struct shk_op_type shk_op_sum = {
    .name = "sum", .size = sizeof(struct sum), .match = match, .declare = declare, .run = {forward, input_gradient}};
