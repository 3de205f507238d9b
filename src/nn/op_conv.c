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

// `samples` samples from `first` on. The gradients of in and out have their geometry.
static struct shk_conv_pool conv_of(const struct shk_op *op, const struct shk_slice *s, size_t first, size_t samples) {
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
                              .samples = samples,
                              .in_sample = shk_sample_stride(s, &op->in),
                              .out_sample = shk_sample_stride(s, &op->out),
                              .arg_sample = windows * op->u.conv.cout,
                              .scratch = s->scratch};
    c.in = shk_buffer_at(s, op->in.buffer) + first * c.in_sample;
    c.out = shk_rows_at(s, &op->out) + first * c.out_sample;
    if (op->u.conv.arg >= 0) c.arg = (uint8_t *)shk_buffer_at(s, op->u.conv.arg) + first * c.arg_sample;
    if (op->out_grad.buffer >= 0) c.dout = shk_rows_at(s, &op->out_grad) + first * c.out_sample;
    return c;
}

static void conv_forward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_conv_pool c = conv_of(op, s, 0, s->samples);
    s->k->conv_pool_forward(&c);
}

static void conv_input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    if (op->in_grad.buffer < 0) return; // an image
    struct shk_conv_pool c = conv_of(op, s, 0, s->samples);
    c.din = shk_buffer_at(s, op->in_grad.buffer);
    s->k->conv_pool_dgrad(&c);
}

static void add_to(const struct shk_kernels *k, const float *x, float *sum, size_t n) {
    k->add(&(struct shk_add){.rows = 1, .cols = n, .x = x, .y = sum});
}

static void conv_weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        struct shk_conv_pool c = conv_of(op, s, g.start, g.samples);
        c.dweight = g.apart + op->weight_grad;
        c.dbias = g.apart + op->bias_grad;
        if (g.fresh) {
            memset(c.dweight, 0, op->weight->length * sizeof(float));
            memset(c.dbias, 0, op->bias->length * sizeof(float));
        }
        s->k->conv_pool_wgrad(&c);
        if (!g.adds) continue;
        add_to(s->k, c.dweight, g.sums + op->weight_grad, op->weight->length);
        add_to(s->k, c.dbias, g.sums + op->bias_grad, op->bias->length);
    }
}

const struct shk_op_kind shk_op_input = {{input_forward}};
const struct shk_op_kind shk_op_conv = {{conv_forward, conv_input_gradient, conv_weight_gradient}};
