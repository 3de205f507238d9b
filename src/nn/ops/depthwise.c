// SPDX-License-Identifier: MIT
// The depthwise op computes a convolution in which each channel has a filter of its own, and the ReLU behind it.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

struct depthwise {
    struct shk_op op;
    size_t h, w, out_h, out_w, kernel, stride, pad;
    bool relu;
};

static inline const struct depthwise *depthwise_of(const struct shk_op *op) { return (const struct depthwise *)op; }

static size_t outputs_of(const struct depthwise *d) { return d->out_h * d->out_w; }

static struct shk_depthwise kernel_of(const struct shk_op *op) {
    const struct depthwise *d = depthwise_of(op);
    return (struct shk_depthwise){.h = d->h,
                                  .w = d->w,
                                  .c = op->in.ld,
                                  .kernel = d->kernel,
                                  .stride = d->stride,
                                  .pad = d->pad,
                                  .out_h = d->out_h,
                                  .out_w = d->out_w,
                                  .relu = d->relu};
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_depthwise k = kernel_of(op);
    k.weights = s->weights + op->weight->offset;
    k.bias = op->bias ? s->weights + op->bias->offset : NULL;
    for (size_t i = 0; i < s->samples; i++) {
        k.in = shk_sample_at(s, &op->in, i);
        k.out = shk_sample_at(s, &op->out, i);
        s->k->depthwise_forward(&k);
    }
}

// ---- Backward

// The gradient of the convolution itself, in place.
static void through_relu(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    float *dy = shk_sample_at(s, &op->out_grad, sample);
    if (depthwise_of(op)->relu)
        s->k->relu_backward(
            &(struct shk_relu_backward){op->out.rows * op->out.ld, shk_sample_at(s, &op->out, sample), dy, dy, 1});
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_depthwise k = kernel_of(op);
    k.weights = s->weights + op->weight->offset;
    k.accumulate = op->accumulate;
    for (size_t i = 0; i < s->samples; i++) {
        through_relu(op, s, i);
        if (op->in_grad.buffer < 0) continue; // of an image
        k.dout = shk_sample_at(s, &op->out_grad, i);
        k.din = shk_sample_at(s, &op->in_grad, i);
        s->k->depthwise_dgrad(&k);
    }
}

static void add_gradient(const struct shk_op *op, const struct shk_slice *s, size_t sample, float *dw, float *db) {
    struct shk_depthwise k = kernel_of(op);
    k.in = shk_sample_at(s, &op->in, sample);
    k.dout = shk_sample_at(s, &op->out_grad, sample);
    k.dweights = dw;
    s->k->depthwise_wgrad(&k);
    if (db) shk_add_bias_gradient(s->k, k.dout, (ptrdiff_t)op->out.ld, op->out.rows, op->out.cols, db);
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        float *dw = g->own + op->weight_grad, *db = op->bias ? g->own + op->bias_grad : NULL;
        if (g->first) memset(dw, 0, op->weight->length * sizeof *dw);
        if (g->first && db) memset(db, 0, op->bias->length * sizeof *db);
        for (size_t i = g->start; i < g->start + g->samples; i++) add_gradient(op, s, i, dw, db);
        shk_segment_add(s, g, op->weight_grad, op->weight->length);
        if (db) shk_segment_add(s, g, op->bias_grad, op->bias->length);
    }
}

// ---- In the plan

static void place(struct shk_lowering *f, const struct shk_layer *l, struct depthwise *d) {
    const size_t taps = d->kernel * d->kernel, padded = d->op.in.ld;
    const struct shk_param_form panels = {
        .layout = SHK_PANELS, .outer = shk_axis1(l->conv.out), .inner = shk_axis1(taps), .ld = taps, .outputs = padded};
    d->op.weight = shk_lay_out(f, l->params[0], &panels);
    d->op.bias = l->params[1] < 0 ? NULL : shk_lay_out_vector(f, l->params[1], shk_axis1(l->conv.out), padded);
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_GROUPED_CONV || l->conv.groups != l->conv.out) return false;
    const struct shk_value in = *shk_input_of(f);
    const struct shk_extent from = shk_layer_at(f, l->in[0])->out;
    if (from.c != l->conv.groups || in.axis.count != 1 || !shk_is_dense(&in.value)) return false;
    struct depthwise *d = shk_op_new(f, &shk_op_depthwise, l->name, &in);
    if (!d) return false;
    d->h = from.h;
    d->w = from.w;
    d->out_h = l->out.h;
    d->out_w = l->out.w;
    d->kernel = l->conv.kernel;
    d->stride = l->conv.stride;
    d->pad = l->conv.pad;
    place(f, l, d);
    const int relu = shk_follower(f, f->at, SHK_RELU);
    d->relu = relu >= 0;
    d->op.out = shk_view_new(f->plan, outputs_of(d), in.value.ld);
    d->op.out_grad = shk_grad_new(f->plan, outputs_of(d), in.value.ld);
    shk_takes(f, f->at);
    shk_gives(f, d->relu ? relu : f->at, &d->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) {
    const bool relu = depthwise_of(op)->relu;
    shk_op_uses_views(op, SHK_READS_BACKWARD, relu ? SHK_READS_BACKWARD : 0);
    if (relu) shk_op_uses(op, op->out_grad.buffer, SHK_WRITES_BACKWARD);
}

static size_t shard_floats(const struct shk_op *op) { return op->weight->length + (op->bias ? op->bias->length : 0); }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    if (op->bias) op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct depthwise *d = depthwise_of(op);
    if (phase == SHK_INPUT_GRADIENT && op->in_grad.buffer < 0) return 0;
    return 2.0 * (double)(outputs_of(d) * op->out.cols) * (double)(d->kernel * d->kernel);
}

const struct shk_op_type shk_op_depthwise = {.name = "depthwise",
                                             .size = sizeof(struct depthwise),
                                             .match = match,
                                             .declare = declare,
                                             .run = {forward, input_gradient, weight_gradient},
                                             .flops = flops,
                                             .updates = updates,
                                             .shard_floats = shard_floats};
