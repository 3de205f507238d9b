// SPDX-License-Identifier: MIT
// The grouped_conv op computes a convolution whose channels go in groups, each with filters of its own, as a product for each
// group and tap: what the taps see is laid in rows (im2col), some at a time. It takes in a ReLU behind it.
#include "nn/ops/linear.h"
#include "nn/ops/map.h"

#include <string.h>

enum { ROW_FLOATS = 16 * 1024 }; // laid out at a time, at most: 64 KB

struct grouped {
    struct shk_op op;
    size_t h, w, c; // of the map that is read; c: floats of a pixel
    size_t kernel, stride, pad, out_h, out_w;
    size_t groups, in, out; // in, out: channels of a group
    bool relu;
};

static inline const struct grouped *grouped_of(const struct shk_op *op) { return (const struct grouped *)op; }

static size_t taps_of(const struct grouped *v) { return v->kernel * v->kernel; }
static size_t outputs_of(const struct grouped *v) { return v->out_h * v->out_w; }
// Inputs of a group's product, each tap's padded.
static size_t depth_of(const struct grouped *v) { return taps_of(v) * shk_round16(v->in); }
static size_t row_of(const struct grouped *v) { return taps_of(v) * v->c; }

// Rows at a time.
static size_t chunk_of(const struct grouped *v) {
    const size_t rows = ROW_FLOATS / row_of(v), most = outputs_of(v);
    return rows < 16 ? 16 : rows < most ? rows : most;
}

// Some outputs of a sample: what their taps see; and a group's part of that or of the outputs.
struct chunk {
    size_t first, rows;
    float *cols;   // [rows][taps][c]
    float *padded; // [rows][depth], or [out / 16][rows][16]
};

static struct chunk chunk_at(const struct grouped *v, const struct shk_slice *s, size_t first) {
    const size_t left = outputs_of(v) - first, most = chunk_of(v);
    float *const cols = s->scratch;
    return (struct chunk){first, left < most ? left : most, cols, cols + shk_round16(most * row_of(v))};
}

static struct shk_im2col im2col_of(const struct grouped *v, const struct chunk *c, float *map) {
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

// A group's outputs in the chunk, from panels into the map.
static void put_outputs(const struct grouped *v, const struct chunk *c, size_t group, float *map) {
    for (size_t r = 0; r < c->rows; r++) {
        float *to = map + (c->first + r) * v->op.out.ld + group * v->out;
        for (size_t o = 0; o < v->out; o++) to[o] = c->padded[(o / 16 * c->rows + r) * 16 + o % 16];
    }
}

// The same from the map, with zeros behind.
static void take_outputs(const struct grouped *v, const struct chunk *c, size_t group, const float *map) {
    memset(c->padded, 0, shk_round16(v->out) * c->rows * sizeof *c->padded);
    for (size_t r = 0; r < c->rows; r++) {
        const float *from = map + (c->first + r) * v->op.out.ld + group * v->out;
        for (size_t o = 0; o < v->out; o++) c->padded[(o / 16 * c->rows + r) * 16 + o % 16] = from[o];
    }
}

static void multiply(const struct grouped *v, const struct shk_slice *s, const struct chunk *c, size_t group) {
    const struct shk_op *op = &v->op;
    const size_t padded = shk_round16(v->out);
    for (size_t t = 0; t < taps_of(v); t++) {
        struct shk_gemm gemm = {.m = c->rows,
                                .n = padded,
                                .k = v->in,
                                .a = c->cols + t * v->c + group * v->in,
                                .a_row = (ptrdiff_t)row_of(v),
                                .a_col = 1,
                                .b = s->weights + op->weight->offset + group * padded * depth_of(v) +
                                     t * shk_round16(v->in) * 16,
                                .b_row = 16,
                                .b_panel = (ptrdiff_t)depth_of(v) * 16,
                                .c = c->padded,
                                .c_row = 16,
                                .c_panel = (ptrdiff_t)c->rows * 16,
                                .accumulate = t > 0,
                                .relu = v->relu && t + 1 == taps_of(v)};
        if (!t && op->bias) gemm.bias = s->weights + op->bias->offset + group * padded;
        s->k->gemm(&gemm);
    }
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct grouped *v = grouped_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        float *out = shk_sample_at(s, &op->out, i);
        if (v->groups * v->out < op->out.ld) memset(out, 0, outputs_of(v) * op->out.ld * sizeof *out);
        for (size_t first = 0; first < outputs_of(v); first += chunk_of(v)) {
            const struct chunk c = chunk_at(v, s, first);
            const struct shk_im2col rows = im2col_of(v, &c, shk_sample_at(s, &op->in, i));
            s->k->im2col(&rows);
            for (size_t g = 0; g < v->groups; g++) {
                multiply(v, s, &c, g);
                put_outputs(v, &c, g, out);
            }
        }
    }
}

// ---- Backward

// The gradient of the convolution itself, in place.
static void through_relu(const struct grouped *v, const struct shk_slice *s, size_t sample) {
    float *dy = shk_sample_at(s, &v->op.out_grad, sample);
    const struct shk_relu_backward relu = {outputs_of(v) * v->op.out.ld, shk_sample_at(s, &v->op.out, sample), dy, dy,
                                           1};
    if (v->relu) s->k->relu_backward(&relu);
}

// What a group's taps saw gets its gradients.
static void spread(const struct grouped *v, const struct shk_slice *s, const struct chunk *c, size_t group,
                   const float *dy) {
    const struct shk_op *op = &v->op;
    const size_t padded = shk_round16(v->out), in = shk_round16(v->in);
    struct shk_gemm gemm = {.m = c->rows,
                            .n = depth_of(v),
                            .k = v->out,
                            .a = dy + c->first * op->out.ld + group * v->out,
                            .a_row = (ptrdiff_t)op->out.ld,
                            .a_col = 1,
                            .b = s->derived + op->weight->derived_offset + group * padded * 16,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)(v->groups * padded) * 16,
                            .c = c->padded,
                            .c_row = (ptrdiff_t)depth_of(v),
                            .c_panel = 16};
    s->k->gemm(&gemm);
    for (size_t r = 0; r < c->rows; r++)
        for (size_t t = 0; t < taps_of(v); t++)
            memcpy(c->cols + r * row_of(v) + t * v->c + group * v->in, c->padded + r * depth_of(v) + t * in,
                   v->in * sizeof *c->cols);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct grouped *v = grouped_of(op);
    for (size_t i = 0; i < s->samples; i++) {
        through_relu(v, s, i);
        if (op->in_grad.buffer < 0) continue; // of an image
        float *dx = shk_sample_at(s, &op->in_grad, i);
        if (!op->accumulate) memset(dx, 0, v->h * v->w * v->c * sizeof *dx);
        for (size_t first = 0; first < outputs_of(v); first += chunk_of(v)) {
            const struct chunk c = chunk_at(v, s, first);
            memset(c.cols, 0, c.rows * row_of(v) * sizeof *c.cols);
            for (size_t g = 0; g < v->groups; g++) spread(v, s, &c, g, shk_sample_at(s, &op->out_grad, i));
            const struct shk_im2col back = im2col_of(v, &c, dx);
            s->k->col2im(&back);
        }
    }
}

// dW += rows^T dY and db += sum of dY, of a group.
static void add_gradient(const struct grouped *v, const struct shk_slice *s, const struct chunk *c, size_t group,
                         float *dw, float *db) {
    const size_t padded = shk_round16(v->out);
    for (size_t t = 0; t < taps_of(v); t++) {
        struct shk_gemm gemm = {.m = v->in,
                                .n = padded,
                                .k = c->rows,
                                .a = c->cols + t * v->c + group * v->in,
                                .a_row = 1,
                                .a_col = (ptrdiff_t)row_of(v),
                                .b = c->padded,
                                .b_row = 16,
                                .b_panel = (ptrdiff_t)c->rows * 16,
                                .c = dw + group * padded * depth_of(v) + t * shk_round16(v->in) * 16,
                                .c_row = 16,
                                .c_panel = (ptrdiff_t)depth_of(v) * 16,
                                .accumulate = true};
        s->k->gemm(&gemm);
    }
    for (size_t o = 0; db && o < padded; o += 16)
        shk_add_bias_gradient(s->k, c->padded + o * c->rows, 16, c->rows, 16, db + group * padded + o);
}

static void add_sample(const struct grouped *v, const struct shk_slice *s, size_t sample, float *dw, float *db) {
    for (size_t first = 0; first < outputs_of(v); first += chunk_of(v)) {
        const struct chunk c = chunk_at(v, s, first);
        const struct shk_im2col rows = im2col_of(v, &c, shk_sample_at(s, &v->op.in, sample));
        s->k->im2col(&rows);
        for (size_t g = 0; g < v->groups; g++) {
            take_outputs(v, &c, g, shk_sample_at(s, &v->op.out_grad, sample));
            add_gradient(v, s, &c, g, dw, db);
        }
    }
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        float *dw = g->own + op->weight_grad, *db = op->bias ? g->own + op->bias_grad : NULL;
        if (g->first) memset(dw, 0, op->weight->length * sizeof *dw);
        if (g->first && db) memset(db, 0, op->bias->length * sizeof *db);
        for (size_t i = g->start; i < g->start + g->samples; i++) add_sample(grouped_of(op), s, i, dw, db);
        shk_segment_add(s, g, op->weight_grad, op->weight->length);
        if (db) shk_segment_add(s, g, op->bias_grad, op->bias->length);
    }
}

// ---- In the plan

// Each group begins a panel of its own, and each tap a multiple of sixteen inputs.
static void place(struct shk_lowering *f, const struct shk_layer *l, struct grouped *v) {
    const size_t padded = shk_round16(v->out), outputs = v->groups * padded;
    struct shk_param_form p = {.layout = SHK_PANELS, .ld = depth_of(v), .outputs = outputs};
    p.outer = (struct shk_axis){2, {{v->groups, padded}, {v->out, 1}}};
    p.inner = (struct shk_axis){2, {{v->in, 1}, {taps_of(v), shk_round16(v->in)}}};
    if (!shk_layer_is(f, l->in[0], SHK_INPUT) || shk_image_is_map(f)) { // else it has no gradient
        p.packing = &shk_transposed;
        p.packed = depth_of(v) * outputs;
    }
    v->op.weight = shk_lay_out(f, l->params[0], &p);
    v->op.bias = l->params[1] < 0 ? NULL : shk_lay_out_vector(f, l->params[1], p.outer, outputs);
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_GROUPED_CONV) return false;
    const struct shk_value in = *shk_input_of(f);
    if (in.axis.count != 1) return false;
    struct grouped *v = shk_op_new(f, &shk_op_grouped_conv, l->name, &in);
    if (!v) return false;
    const struct shk_extent from = shk_layer_at(f, l->in[0])->out;
    v->h = from.h;
    v->w = from.w;
    v->c = in.value.ld;
    v->kernel = l->conv.kernel;
    v->stride = l->conv.stride;
    v->pad = l->conv.pad;
    v->out_h = l->out.h;
    v->out_w = l->out.w;
    v->groups = l->conv.groups;
    v->in = from.c / v->groups;
    v->out = l->conv.out / v->groups;
    place(f, l, v);
    const int relu = shk_follower(f, f->at, SHK_RELU);
    v->relu = relu >= 0;
    v->op.out = shk_view_new(f->plan, outputs_of(v), shk_round16(l->conv.out));
    v->op.out_grad = shk_grad_new(f->plan, outputs_of(v), shk_round16(l->conv.out));
    shk_takes(f, f->at);
    shk_gives(f, v->relu ? relu : f->at, &v->op, shk_axis1(l->conv.out));
    return true;
}

static void declare(struct shk_op *op) {
    const bool relu = grouped_of(op)->relu;
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD | (relu ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->in_grad.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | (relu ? SHK_WRITES_BACKWARD : 0));
}

static size_t scratch(const struct shk_op *op) {
    const struct grouped *v = grouped_of(op);
    const size_t wide = depth_of(v) > shk_round16(v->out) ? depth_of(v) : shk_round16(v->out);
    return (shk_round16(chunk_of(v) * row_of(v)) + chunk_of(v) * wide) * sizeof(float);
}

static size_t shard_floats(const struct shk_op *op) { return op->weight->length + (op->bias ? op->bias->length : 0); }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, op->weight->length);
    if (op->bias) op->bias_grad = shk_updates_from_shards(list, op, op->bias, op->bias->length);
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct grouped *v = grouped_of(op);
    if (phase == SHK_INPUT_GRADIENT && op->in_grad.buffer < 0) return 0;
    return 2.0 * (double)(outputs_of(v) * v->groups * shk_round16(v->out)) * (double)(taps_of(v) * v->in);
}

const struct shk_op_type shk_op_grouped_conv = {.name = "grouped_conv",
                                                .size = sizeof(struct grouped),
                                                .match = match,
                                                .declare = declare,
                                                .run = {forward, input_gradient, weight_gradient},
                                                .scratch = scratch,
                                                .flops = flops,
                                                .updates = updates,
                                                .shard_floats = shard_floats};
