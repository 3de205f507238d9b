// SPDX-License-Identifier: MIT
// The sum op adds up two values, as those of the branches of a residual net, with a ReLU behind it where there is one. Stochastic
// depth (Huang et al. 2016) leaves out the first for some samples, and scales it for the others.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

struct sum {
    struct shk_op op;
    struct shk_view other, other_grad; // the second input
    bool accumulate_other;             // its gradient is added to what is there
    bool relu;
    struct shk_drops drops; // of the first input of a sample
};

static inline const struct sum *sum_of(const struct shk_op *op) { return (const struct sum *)op; }

// Of a sample's first input: 1 without stochastic depth; 0 where it is left out.
static float share_of(const struct sum *a, const struct shk_slice *s, size_t sample) {
    if (!a->drops.threshold) return 1;
    uint16_t keep;
    const struct shk_dropout_mask draw = {16, &keep, shk_dropout_of(&a->drops, s, sample), 0};
    s->k->dropout_mask(&draw);
    return keep & 1 ? shk_dropout_scale(a->drops.threshold) : 0;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct sum *a = sum_of(op);
    const size_t n = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        float *y = shk_sample_at(s, &op->out, i);
        struct shk_dropout add = {.rows = 1, .cols = n, .scale = share_of(a, s, i)}; // without a mask it is a sum
        add.x = shk_sample_at(s, &op->in, i);
        add.residual = shk_sample_at(s, &a->other, i);
        add.y = y;
        if (add.scale > 0)
            s->k->dropout_forward(&add);
        else
            memcpy(y, add.residual, n * sizeof *y);
        if (a->relu) s->k->relu_forward(&(struct shk_relu_forward){n, y, y});
    }
}

static void give(const struct shk_slice *s, size_t n, float share, const float *dy, float *dx, bool accumulate) {
    const struct shk_dropout add = {.rows = 1, .cols = n, .scale = share, .x = dy, .residual = dx, .y = dx},
                             copy = {.rows = 1, .cols = n, .scale = share, .dy = dy, .dx = dx};
    if (accumulate && share > 0) s->k->dropout_forward(&add);
    if (!accumulate && share > 0) s->k->dropout_backward(&copy);
    if (!accumulate && share == 0) memset(dx, 0, n * sizeof *dx);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct sum *a = sum_of(op);
    const size_t n = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        float *dy = shk_sample_at(s, &op->out_grad, i);
        if (a->relu) s->k->relu_backward(&(struct shk_relu_backward){n, shk_sample_at(s, &op->out, i), dy, dy, 1});
        give(s, n, 1, dy, shk_sample_at(s, &a->other_grad, i), a->accumulate_other);
        give(s, n, share_of(a, s, i), dy, shk_sample_at(s, &op->in_grad, i),
             op->accumulate); // which may be the other's
    }
}

// The layer that adds up, and its inputs.
struct addition {
    int add, one, other;
};

// Of the layer at hand, or, where that is stochastic depth, of the next one.
static bool find(const struct shk_lowering *f, struct addition *a) {
    const bool drops = shk_layer_is(f, f->at, SHK_DROP_PATH);
    a->add = drops ? shk_follower(f, f->at, SHK_ADD) : f->at;
    if (!shk_layer_is(f, a->add, SHK_ADD) || a->add > f->at + 1) return false;
    const int *const in = shk_layer_at(f, a->add)->in;
    a->one = drops ? shk_layer_at(f, f->at)->in[0] : in[0];
    a->other = drops && in[1] == f->at ? in[0] : in[1];
    return in[0] != in[1] && f->values[a->other].op;
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    struct addition found;
    if (!find(f, &found)) return false;
    const struct shk_value one = f->values[found.one], other = f->values[found.other];
    if (!shk_is_dense(&one.value) || !shk_is_dense(&other.value) || !shk_axis_equal(&one.axis, &other.axis) ||
        one.value.rows != other.value.rows || one.value.cols != other.value.cols)
        return false;
    struct sum *a = shk_op_new(f, &shk_op_sum, l->name, &one);
    if (!a) return false;
    a->other = other.value;
    a->other_grad = other.grad;
    a->accumulate_other = shk_graph_last_consumer(f->graph, found.other) != found.add;
    if (l->kind == SHK_DROP_PATH) a->drops = shk_drops_of(f, l, l->dropout.p);
    const int relu = shk_follower(f, found.add, SHK_RELU);
    a->relu = relu >= 0;
    a->op.out = shk_view_new(f->plan, one.value.rows, one.value.cols);
    a->op.out_grad = shk_grad_new(f->plan, one.value.rows, one.value.cols);
    shk_takes(f, f->at);
    shk_takes(f, found.add);
    shk_gives(f, a->relu ? relu : found.add, &a->op, one.axis);
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
