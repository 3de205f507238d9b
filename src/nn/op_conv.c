// SPDX-License-Identifier: MIT
// The image as a padded map; 3x3 convolution, ReLU and max-pool as one layer.
#include "nn/op.h"

#include <string.h>

// out.offset is the map's first inner pixel, out.ld its pixel stride.
static void input_forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_shape *shape = &s->plan->model->shape;
    size_t row = shape->width * shape->channels, map_row = (shape->width + 2) * shape->channels;
    for (size_t i = 0; i < s->samples; i++) {
        float *map = shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out);
        for (size_t y = 0; y < shape->height; y++)
            memcpy(map + y * map_row, s->images[i] + y * row, row * sizeof(float));
    }
}

static struct shk_conv_pool conv_of(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    size_t windows = op->u.conv.h / 2 * (op->u.conv.w / 2);
    const struct shk_param *w = op->weight;
    bool taps = w->derived == SHK_WINOGRAD;
    struct shk_conv_pool c = {.h = op->u.conv.h,
                              .w = op->u.conv.w,
                              .cin = op->u.conv.cin,
                              .in_ld = op->u.conv.in_ld,
                              .cout = op->u.conv.cout,
                              .panels = taps ? NULL : s->weights + w->offset,
                              .taps = taps ? s->weights + w->offset : NULL,
                              .winograd = taps ? s->derived + w->derived_offset : NULL,
                              .bias = s->weights + op->bias->offset,
                              .out_row = op->u.conv.out_row,
                              .out_px = op->u.conv.out_px,
                              .scratch = s->scratch};
    c.in = shk_buffer_at(s, op->in.buffer) + sample * shk_sample_stride(s, &op->in);
    c.out = shk_rows_at(s, &op->out) + sample * shk_sample_stride(s, &op->out);
    if (op->u.conv.arg >= 0) c.arg = (uint8_t *)shk_buffer_at(s, op->u.conv.arg) + sample * windows * op->u.conv.cout;
    return c;
}

static void conv_forward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_conv_pool c = conv_of(op, s, 0);
    c.samples = s->samples;
    c.in_sample = shk_sample_stride(s, &op->in);
    c.out_sample = shk_sample_stride(s, &op->out);
    c.arg_sample = op->u.conv.h / 2 * (op->u.conv.w / 2) * op->u.conv.cout;
    s->k->conv_pool_forward(&c);
}

static void add_dout(struct shk_conv_pool *c, const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    c->dout = shk_rows_at(s, &op->out_grad) + sample * shk_sample_stride(s, &op->out_grad);
}

static void conv_input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    if (op->in_grad.buffer < 0) return; // an image
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_conv_pool c = conv_of(op, s, i);
        add_dout(&c, op, s, i);
        c.din = shk_buffer_at(s, op->in_grad.buffer) + i * shk_sample_stride(s, &op->in_grad);
        s->k->conv_pool_dgrad(&c);
    }
}

static void conv_weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        float *dweight = g.grads + op->weight_grad, *dbias = g.grads + op->bias_grad;
        if (g.fresh) {
            memset(dweight, 0, op->weight->length * sizeof(float));
            memset(dbias, 0, op->bias->length * sizeof(float));
        }
        for (size_t i = g.start; i < g.start + g.samples; i++) {
            struct shk_conv_pool c = conv_of(op, s, i);
            add_dout(&c, op, s, i);
            c.dweight = dweight;
            c.dbias = dbias;
            s->k->conv_pool_wgrad(&c);
        }
    }
}

const struct shk_op_kind shk_op_input = {"input", {input_forward}};
const struct shk_op_kind shk_op_conv = {"conv3x3", {conv_forward, conv_input_gradient, conv_weight_gradient}};
