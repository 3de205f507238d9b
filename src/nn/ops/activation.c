// SPDX-License-Identifier: MIT
// The activation op computes an activation, or a sigmoid, of each element, where no op of another layer takes it in.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

struct activation {
    struct shk_op op;
    enum shk_layer_kind kind;
    int derivative; // of each element, in training; or -1. A ReLU's follows from its output
};

static inline const struct activation *activation_of(const struct shk_op *op) { return (const struct activation *)op; }

static float *derivative_at(const struct activation *a, const struct shk_slice *s, size_t sample) {
    if (a->derivative < 0) return NULL;
    return shk_buffer_at(s, a->derivative) + sample * s->plan->buffers[a->derivative].per_sample;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct activation *a = activation_of(op);
    const size_t n = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        const float *x = shk_sample_at(s, &op->in, i);
        float *y = shk_sample_at(s, &op->out, i), *derivative = derivative_at(a, s, i);
        if (a->kind == SHK_RELU) s->k->relu_forward(&(struct shk_relu_forward){n, x, y});
        if (a->kind == SHK_GELU) s->k->gelu_forward(&(struct shk_gelu){n, x, y, derivative});
        if (a->kind == SHK_HARDSWISH) s->k->hardswish_forward(&(struct shk_hardswish){n, x, y, derivative});
        if (a->kind == SHK_SIGMOID) s->k->sigmoid_forward(&(struct shk_sigmoid){n, x, y, derivative});
        if (a->kind == SHK_SILU) s->k->silu_forward(&(struct shk_silu){n, x, y, derivative});
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct activation *a = activation_of(op);
    const size_t n = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        float *dy = shk_sample_at(s, &op->out_grad, i), *dx = op->accumulate ? dy : shk_sample_at(s, &op->in_grad, i);
        if (a->kind == SHK_RELU)
            s->k->relu_backward(&(struct shk_relu_backward){n, shk_sample_at(s, &op->out, i), dy, dx, 1});
        else
            s->k->multiply(&(struct shk_multiply){n, dy, derivative_at(a, s, i), dx});
        shk_add_gradient(op, s, i);
    }
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (!(shk_layer_flags(l->kind) & SHK_ACTIVATION) && l->kind != SHK_HARDSWISH && l->kind != SHK_SIGMOID)
        return false;
    const struct shk_value in = *shk_input_of(f);
    if (!shk_is_dense(&in.value)) return false;
    struct activation *a = shk_op_new(f, &shk_op_activation, l->name, &in);
    if (!a) return false;
    const size_t rows = in.value.rows, cols = in.value.cols;
    a->kind = l->kind;
    a->derivative = f->plan->training && l->kind != SHK_RELU ? shk_buffer_new(f->plan, rows * cols) : -1;
    a->op.out = shk_view_new(f->plan, rows, cols);
    a->op.out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, f->at, &a->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    const struct activation *a = activation_of(op);
    shk_op_uses_views(op, 0, a->kind == SHK_RELU ? SHK_READS_BACKWARD : 0);
    if (op->accumulate) shk_op_uses(op, op->out_grad.buffer, SHK_WRITES_BACKWARD);
    shk_op_uses(op, a->derivative, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_activation = {.name = "activation",
                                              .size = sizeof(struct activation),
                                              .match = match,
                                              .declare = declare,
                                              .run = {forward, input_gradient}};
