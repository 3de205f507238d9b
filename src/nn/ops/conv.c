// SPDX-License-Identifier: MIT
// The conv op computes any convolution as a product: what the taps see is laid in rows (im2col), some at a time, and multiplied
// with the weights; one of a single pixel needs no rows of its own. It takes in a ReLU behind it. Its map is a row for each
// pixel, so that patches of a map are tokens as they come.
#include "nn/ops/linear.h"
#include "nn/ops/map.h"
#include "nn/ops/norm_end.h"

#include <string.h>

enum { ROW_FLOATS = 16 * 1024 }; // laid out at a time, at most: 64 KB

struct conv {
    struct shk_op op;
    size_t h, w, c; // of the map that is read; c: floats of a pixel
    size_t kernel, stride, pad;
    size_t out_h, out_w;
    bool relu;
    struct shk_norm_end norm; // before the ReLU, in evaluation
};

static inline const struct conv *conv_of(const struct shk_op *op) { return (const struct conv *)op; }

static bool is_pointwise(const struct conv *v) { return v->kernel == 1 && v->stride == 1 && v->pad == 0; }
static size_t taps_of(const struct conv *v) { return v->kernel * v->kernel * v->c; } // floats
static size_t outputs_of(const struct conv *v) { return v->out_h * v->out_w; }

// Rows at a time.
static size_t chunk_of(const struct conv *v) {
    const size_t rows = ROW_FLOATS / taps_of(v), most = outputs_of(v);
    return most < 16 ? most : rows < 16 ? 16 : rows;
}

// Some outputs of a sample, whose rows are `cols`.
struct chunk {
    size_t sample, first, rows;
    float *cols;
    ptrdiff_t stride; // floats of a row
};

static struct shk_im2col im2col_of(const struct conv *v, const struct chunk *c, float *map) {
    return (struct shk_im2col){.h = v->h,
                               .w = v->w,
                               .c = v->c,
                               .kernel = v->kernel,
                               .stride = v->stride,
                               .pad = v->pad,
                               .out_w = v->out_w,
                               .first = c->first,
                               .rows = c->rows,
                               .map = map,
                               .cols = c->cols};
}

// The chunk that begins at output `first` of a sample, of the map `in` as it is where that will do; without rows at the end.
static struct chunk chunk_at(const struct conv *v, const struct shk_slice *s, const struct shk_view *in, size_t sample,
                             size_t first) {
    const size_t left = outputs_of(v) - first, most = is_pointwise(v) ? left : chunk_of(v);
    struct chunk c = {sample, first, left < most ? left : most, s->scratch, (ptrdiff_t)taps_of(v)};
    if (is_pointwise(v)) c.cols = shk_sample_at(s, in, sample) + first * v->c;
    return c;
}

static struct chunk next_chunk(const struct conv *v, const struct shk_slice *s, const struct shk_view *in,
                               const struct chunk *c) {
    return chunk_at(v, s, in, c->sample, c->first + c->rows);
}

static void lay_out(const struct conv *v, const struct shk_slice *s, const struct chunk *c) {
    if (is_pointwise(v)) return;
    const struct shk_im2col rows = im2col_of(v, c, shk_sample_at(s, &v->op.in, c->sample));
    s->k->im2col(&rows);
}

static void multiply(const struct conv *v, const struct shk_slice *s, const struct chunk *c) {
    const struct shk_op *op = &v->op;
    const size_t k = taps_of(v);
    struct shk_gemm gemm = {.m = c->rows,
                            .n = op->out.cols,
                            .k = k,
                            .a = c->cols,
                            .a_row = c->stride,
                            .a_col = 1,
                            .b = s->weights + op->weight->offset,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)k * 16,
                            .c = shk_sample_at(s, &op->out, c->sample) + c->first * op->out.ld,
                            .c_row = (ptrdiff_t)op->out.ld,
                            .c_panel = 16,
                            .bias = op->bias ? s->weights + op->bias->offset : NULL,
                            .relu = v->relu && !v->norm.scale};
    s->k->gemm(&gemm);
}

// Floats of scratch for the rows of a chunk.
static size_t rows_floats(const struct conv *v) { return is_pointwise(v) ? 0 : chunk_of(v) * taps_of(v); }

static void normalise(const struct conv *v, const struct shk_slice *s, const struct chunk *c,
                      struct shk_batch_norm *end) {
    if (!v->norm.scale) return;
    end->rows = c->rows;
    end->cols = v->op.out.cols;
    end->y = shk_sample_at(s, &v->op.out, c->sample) + c->first * v->op.out.ld;
    end->x = end->y;
    end->activation = v->relu ? SHK_NORM_RELU : SHK_NORM_ALONE;
    s->k->batch_norm_forward(end);
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct conv *v = conv_of(op);
    struct shk_batch_norm end = {.rows = 0};
    float *scale = (float *)s->scratch + shk_round16(rows_floats(v));
    if (v->norm.scale) shk_norm_end_of(&v->norm, s, op->out.cols, scale, &end);
    for (size_t i = 0; i < s->samples; i++)
        for (struct chunk c = chunk_at(v, s, &op->in, i, 0); c.rows; c = next_chunk(v, s, &op->in, &c)) {
            lay_out(v, s, &c);
            multiply(v, s, &c);
            normalise(v, s, &c, &end);
        }
}

// ---- Backward

// The gradient of the convolution itself, in place.
static void through_relu(const struct conv *v, const struct shk_slice *s, size_t sample) {
    float *dy = shk_sample_at(s, &v->op.out_grad, sample);
    const struct shk_relu_backward relu = {outputs_of(v) * v->op.out.ld, shk_sample_at(s, &v->op.out, sample), dy, dy,
                                           1};
    if (v->relu) s->k->relu_backward(&relu);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct conv *v = conv_of(op);
    const size_t k = taps_of(v), outputs = op->weight->length / op->weight->ld;
    for (size_t i = 0; i < s->samples; i++) {
        through_relu(v, s, i);
        if (op->in_grad.buffer < 0) continue; // of an image
        float *dx = shk_sample_at(s, &op->in_grad, i);
        if (!is_pointwise(v) && !op->accumulate) memset(dx, 0, v->h * v->w * v->c * sizeof *dx);
        for (struct chunk c = chunk_at(v, s, &op->in_grad, i, 0); c.rows; c = next_chunk(v, s, &op->in_grad, &c)) {
            struct shk_gemm gemm = {.m = c.rows,
                                    .n = k,
                                    .k = op->out.cols,
                                    .a = shk_sample_at(s, &op->out_grad, i) + c.first * op->out.ld,
                                    .a_row = (ptrdiff_t)op->out.ld,
                                    .a_col = 1,
                                    .b = s->derived + op->weight->derived_offset,
                                    .b_row = 16,
                                    .b_panel = (ptrdiff_t)outputs * 16,
                                    .c = c.cols,
                                    .c_row = c.stride,
                                    .c_panel = 16,
                                    .accumulate = is_pointwise(v) && op->accumulate};
            s->k->gemm(&gemm);
            const struct shk_im2col back = im2col_of(v, &c, dx);
            if (!is_pointwise(v)) s->k->col2im(&back);
        }
    }
}

// dW += rows^T dY.
static void add_gradient(const struct conv *v, const struct shk_slice *s, const struct chunk *c, float *dw) {
    const struct shk_op *op = &v->op;
    const size_t k = taps_of(v);
    struct shk_gemm gemm = {.m = k,
                            .n = op->out.cols,
                            .k = c->rows,
                            .a = c->cols,
                            .a_row = 1,
                            .a_col = c->stride,
                            .b = shk_sample_at(s, &op->out_grad, c->sample) + c->first * op->out.ld,
                            .b_row = (ptrdiff_t)op->out.ld,
                            .b_panel = 16,
                            .c = dw,
                            .c_row = 16,
                            .c_panel = (ptrdiff_t)k * 16,
                            .accumulate = true};
    s->k->gemm(&gemm);
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct conv *v = conv_of(op);
    SHK_EACH_SEGMENT(s, g) {
        float *dw = g->own + op->weight_grad, *db = op->bias ? g->own + op->bias_grad : NULL;
        if (g->first) memset(dw, 0, op->weight->length * sizeof *dw);
        if (g->first && db) memset(db, 0, op->bias->length * sizeof *db);
        for (size_t i = g->start; i < g->start + g->samples; i++) {
            const float *const dy = shk_sample_at(s, &op->out_grad, i);
            if (db) shk_add_bias_gradient(s->k, dy, (ptrdiff_t)op->out.ld, op->out.rows, op->out.cols, db);
            for (struct chunk c = chunk_at(v, s, &op->in, i, 0); c.rows; c = next_chunk(v, s, &op->in, &c)) {
                lay_out(v, s, &c);
                add_gradient(v, s, &c, dw);
            }
        }
        shk_segment_add(s, g, op->weight_grad, op->weight->length);
        if (db) shk_segment_add(s, g, op->bias_grad, op->bias->length);
    }
}

// ---- In the plan

// Panels of (tap, channel) x outputs, as the rows are.
static void place(struct shk_lowering *f, const struct shk_layer *l, struct conv *v, const struct shk_value *in) {
    const size_t taps = v->kernel * v->kernel, k = taps_of(v), cout = shk_round16(l->out.c);
    struct shk_param_form p = {.layout = SHK_PANELS, .outer = shk_axis1(l->out.c), .ld = k, .outputs = cout};
    p.inner = (struct shk_axis){2, {{in->axis.digits[0].extent, 1}, {taps, v->c}}};
    if (!shk_layer_is(f, l->in[0], SHK_INPUT) || shk_image_is_map(f)) { // else it has no gradient
        p.packing = &shk_transposed;
        p.packed = k * cout;
    }
    v->op.weight = shk_lay_out(f, l->params[0], &p);
    v->op.bias = l->params[1] < 0 ? NULL : shk_lay_out_vector(f, l->params[1], p.outer, cout);
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    const bool patches = l->kind == SHK_PATCH_EMBED;
    if (!patches && l->kind != SHK_CONV) return false;
    const struct shk_value in = *shk_input_of(f);
    if (in.axis.count != 1) return false;
    struct conv *v = shk_op_new(f, &shk_op_conv, l->name, &in);
    if (!v) return false;
    const struct shk_extent from = shk_layer_at(f, l->in[0])->out;
    v->h = from.h;
    v->w = from.w;
    v->c = in.value.ld;
    v->kernel = patches ? l->patch_embed.patch : l->conv.kernel;
    v->stride = patches ? l->patch_embed.patch : l->conv.stride;
    v->pad = patches ? 0 : l->conv.pad;
    v->out_h = patches ? from.h / v->stride : l->out.h;
    v->out_w = patches ? from.w / v->stride : l->out.w;
    place(f, l, v, &in);
    const size_t cols = shk_round16(l->out.c);
    const int last = shk_take_norm(f, f->at, shk_axis1(l->out.c), cols, &v->norm),
              relu = shk_follower(f, last, SHK_RELU);
    v->relu = relu >= 0;
    v->op.out = shk_view_new(f->plan, outputs_of(v), cols);
    v->op.out_grad = shk_grad_new(f->plan, outputs_of(v), cols);
    shk_takes(f, f->at);
    shk_gives(f, v->relu ? relu : last, &v->op, shk_axis1(l->out.c));
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD | (conv_of(op)->relu ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->in_grad.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | (conv_of(op)->relu ? SHK_WRITES_BACKWARD : 0));
}

static size_t scratch(const struct shk_op *op) {
    const struct conv *v = conv_of(op);
    return (shk_round16(rows_floats(v)) + (v->norm.scale ? op->out.cols : 0)) * sizeof(float);
}

static size_t shard_floats(const struct shk_op *op) { return op->weight->length + (op->bias ? op->bias->length : 0); }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    if (op->bias) op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct conv *v = conv_of(op);
    if (phase == SHK_INPUT_GRADIENT && op->in_grad.buffer < 0) return 0;
    return 2.0 * (double)(outputs_of(v) * op->out.cols) * (double)taps_of(v);
}

const struct shk_op_type shk_op_conv = {.name = "conv",
                                        .size = sizeof(struct conv),
                                        .match = match,
                                        .declare = declare,
                                        .run = {forward, input_gradient, weight_gradient},
                                        .scratch = scratch,
                                        .flops = flops,
                                        .updates = updates,
                                        .shard_floats = shard_floats};
