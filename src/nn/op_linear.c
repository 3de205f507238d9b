// SPDX-License-Identifier: MIT
// Linear layer with what follows it: activation, dropout, residual sum.
#include "nn/op.h"

#include <string.h>

// Whether the product takes in dropout and the residual sum.
static bool finishes_at_once(const struct shk_op *op) { return !op->u.linear.gelu && op->u.linear.blocks == 1; }

static uint16_t *mask_of(const struct shk_op *op, const struct shk_slice *s) {
    return op->u.linear.mask < 0 ? NULL : (uint16_t *)shk_buffer_at(s, op->u.linear.mask);
}

static float scale_of(const struct shk_op *op) { return shk_dropout_scale(op->threshold); }

static void draw_mask(const struct shk_op *op, const struct shk_slice *s) {
    size_t cells = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout_mask draw = {cells, mask_of(op, s) + i * cells / 16, shk_dropout_of(op, s, i), 0};
        s->k->dropout_mask(&draw);
    }
}

// The rows of a slice times the weights, in one chain from the bias.
static void product(const struct shk_op *op, const struct shk_slice *s) {
    size_t k = shk_linear_inputs(op);
    struct shk_gemm gemm = {.m = shk_row_count(s, &op->in),
                            .n = op->u.linear.columns,
                            .k = k,
                            .a = shk_rows_at(s, &op->in),
                            .a_row = shk_row_stride(s, &op->in),
                            .a_col = 1,
                            .b = shk_linear_panels(op, s->weights, s->derived),
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)k * 16,
                            .c = shk_rows_at(s, &op->out),
                            .c_row = shk_row_stride(s, &op->out),
                            .c_panel = 16,
                            .bias = s->weights + op->bias->offset,
                            .relu = op->u.linear.relu};
    if (finishes_at_once(op)) {
        gemm.keep = op->threshold ? mask_of(op, s) : NULL;
        gemm.scale = scale_of(op);
        gemm.alive = op->u.linear.relu && op->u.linear.differentiated ? mask_of(op, s) : NULL;
        gemm.keep_row = (ptrdiff_t)(op->out.cols / 16);
        if (op->u.linear.residual.buffer >= 0) {
            gemm.addend = shk_rows_at(s, &op->u.linear.residual);
            gemm.addend_row = shk_row_stride(s, &op->u.linear.residual);
            gemm.addend_panel = 16;
        }
    }
    s->k->gemm(&gemm);
}

// One row a sample: the bias, then the sums over each block of inputs. Those of a batch layer are there already.
static void blocked_product(const struct shk_op *op, const struct shk_slice *s) {
    size_t inputs = shk_linear_inputs(op), columns = op->u.linear.columns,
           stride = s->plan->buffers[op->u.linear.partials].per_sample;
    float *partials = shk_buffer_at(s, op->u.linear.partials), *out = shk_rows_at(s, &op->out);
    for (size_t b = 0; b < op->u.linear.blocks && !shk_is_batch_layer(s->plan, op); b++) {
        size_t row = b * SHK_BLOCK, left = inputs - row;
        struct shk_gemm gemm = {.m = s->samples,
                                .n = columns,
                                .k = left < SHK_BLOCK ? left : SHK_BLOCK,
                                .a = shk_rows_at(s, &op->in) + row,
                                .a_row = shk_row_stride(s, &op->in),
                                .a_col = 1,
                                .b = shk_linear_panels(op, s->weights, s->derived) + row * 16,
                                .b_row = 16,
                                .b_panel = (ptrdiff_t)inputs * 16,
                                .c = partials + b * columns,
                                .c_row = (ptrdiff_t)stride,
                                .c_panel = 16};
        s->k->gemm(&gemm);
    }
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_column_sum sum = {.rows = op->u.linear.blocks,
                                     .cols = columns,
                                     .x = partials + i * stride,
                                     .row = (ptrdiff_t)columns,
                                     .start = s->weights + op->bias->offset,
                                     .sum = out + i * shk_sample_stride(s, &op->out),
                                     .relu = op->u.linear.relu};
        s->k->column_sum(&sum);
    }
}

// Dropout and the residual sum where the product did not take them in.
static void finish(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_view *r = &op->u.linear.residual;
    const uint16_t *mask = mask_of(op, s);
    if (!mask && r->buffer < 0) return;
    float *out = shk_rows_at(s, &op->out);
    size_t cells = op->out.rows * op->out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout d = {.rows = op->out.rows, .cols = op->out.cols, .scale = scale_of(op)};
        d.x = d.y = out + i * shk_sample_stride(s, &op->out);
        d.x_row = d.y_row = (ptrdiff_t)op->out.ld;
        if (r->buffer >= 0) {
            d.residual = shk_rows_at(s, r) + i * shk_sample_stride(s, r);
            d.residual_row = (ptrdiff_t)r->ld;
        }
        if (mask) d.mask = mask + i * cells / 16;
        s->k->dropout_forward(&d);
    }
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    if (op->threshold) draw_mask(op, s);
    if (op->u.linear.blocks > 1)
        blocked_product(op, s);
    else
        product(op, s);
    if (op->u.linear.gelu) {
        int derivative = op->u.linear.derivative;
        float *out = shk_rows_at(s, &op->out);
        struct shk_gelu gelu = {shk_row_count(s, &op->in) * op->out.cols, out, out,
                                derivative >= 0 ? shk_buffer_at(s, derivative) : NULL};
        s->k->gelu_forward(&gelu);
    }
    if (!finishes_at_once(op)) finish(op, s);
}

// The gradient of the linear output: out = residual + dropout(act(z)); returns dz.
static float *output_gradient(const struct shk_op *op, const struct shk_slice *s) {
    float *dy = shk_rows_at(s, &op->out_grad), *dz = dy;
    if (op->u.linear.differentiated) return dz;
    ptrdiff_t ld = (ptrdiff_t)op->out.ld;
    size_t n = s->samples * op->out.rows * op->out.cols, cells = op->out.rows * op->out.cols;
    const uint16_t *mask = mask_of(op, s);
    bool copy = op->u.linear.dz.buffer >= 0;
    bool at_once = mask && op->u.linear.relu && !copy; // what was dropped is 0, as what the ReLU has stopped
    if (copy) dz = shk_rows_at(s, &op->u.linear.dz);
    if (copy || (mask && !at_once)) {
        for (size_t i = 0; i < s->samples; i++) {
            struct shk_dropout d = {.rows = op->out.rows, .cols = op->out.cols, .scale = scale_of(op)};
            d.dy = dy + i * shk_sample_stride(s, &op->out_grad);
            d.dx = dz + i * cells;
            d.dy_row = d.dx_row = ld;
            if (mask) d.mask = mask + i * cells / 16;
            s->k->dropout_backward(&d);
        }
    }
    if (op->u.linear.relu) {
        float scale = at_once ? scale_of(op) : 1;
        s->k->relu_backward(&(struct shk_relu_backward){n, shk_rows_at(s, &op->out), dz, dz, scale});
    }
    if (op->u.linear.gelu) s->k->multiply(&(struct shk_multiply){n, dz, shk_buffer_at(s, op->u.linear.derivative), dz});
    return dz;
}

// The input gradient is taken through dropout and activation of the layer before.
static void differentiate_before(const struct shk_op *before, const struct shk_slice *s, struct shk_gemm *gemm) {
    gemm->keep = mask_of(before, s);
    gemm->keep_row = (ptrdiff_t)(before->out.cols / 16);
    gemm->scale = scale_of(before);
    if (before->u.linear.gelu) {
        gemm->factor = shk_buffer_at(s, before->u.linear.derivative);
        gemm->factor_row = (ptrdiff_t)before->out.cols;
    }
}

static ptrdiff_t dz_stride(const struct shk_op *op, const struct shk_slice *s) {
    return shk_row_stride(s, shk_linear_gradient(op));
}

void shk_tile_input_gradient(const struct shk_op *op, const struct shk_kernels *k, const float *weights, size_t tile,
                             size_t rows, const float *dy, ptrdiff_t dy_row, float *dx, ptrdiff_t dx_row) {
    const struct shk_param *w = op->weight;
    size_t width = shk_tile_width(w, tile), first = tile * SHK_INPUT_TILE;
    struct shk_sparse_gemm gemm = {.m = rows,
                                   .n = width,
                                   .k = op->u.linear.columns,
                                   .a = dy,
                                   .a_row = dy_row,
                                   .a_col = 1,
                                   .b = weights + w->offset + first * w->row,
                                   .b_row = (ptrdiff_t)width,
                                   .c = dx + first,
                                   .c_row = dx_row};
    k->sparse_gemm(&gemm);
}

// Row by row: what a slice's rows are must not decide which of them are a pair.
static void sparse_input_gradient(const struct shk_op *op, const struct shk_slice *s, const float *dz) {
    ptrdiff_t dy_row = dz_stride(op, s), dx_row = shk_row_stride(s, &op->in_grad);
    float *dx = shk_rows_at(s, &op->in_grad);
    for (size_t tile = 0; tile < shk_param_panels(op->weight); tile++)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)s->samples; i++)
            shk_tile_input_gradient(op, s->k, s->weights, tile, 1, dz + i * dy_row, dy_row, dx + i * dx_row, dx_row);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_param *w = op->weight;
    const float *dz = output_gradient(op, s);
    if (shk_is_batch_layer(s->plan, op)) return; // the rest takes the whole batch
    if (shk_has_tiles(op)) {
        sparse_input_gradient(op, s, dz);
        return;
    }
    struct shk_gemm gemm = {.m = shk_row_count(s, &op->in),
                            .n = w->row,
                            .k = op->u.linear.columns,
                            .a = dz,
                            .a_row = dz_stride(op, s),
                            .a_col = 1,
                            .b = s->derived + w->derived_offset,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)(w->length / w->row) * 16,
                            .c = shk_rows_at(s, &op->in_grad),
                            .c_row = shk_row_stride(s, &op->in_grad),
                            .c_panel = 16,
                            .accumulate = op->accumulate};
    if (op->u.linear.before) differentiate_before(op->u.linear.before, s, &gemm);
    s->k->gemm(&gemm);
}

// dW += X^T dY, db += sum of dY, over the rows of each shard; dY is what input_gradient left.
static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    if (op->u.linear.batch_gradient) return; // an update task
    size_t rows = op->in.rows, columns = op->u.linear.columns, k = shk_linear_inputs(op);
    const float *dz = shk_rows_at(s, shk_linear_gradient(op));
    ptrdiff_t in_row = shk_row_stride(s, &op->in), dz_row = dz_stride(op, s);
    SHK_EACH_SEGMENT(s, g) {
        const float *dy = dz + (ptrdiff_t)(g.start * rows) * dz_row;
        float *db = g.grads + op->bias_grad;
        if (g.fresh) memset(db, 0, columns * sizeof *db);
        struct shk_gemm gemm = {.m = k,
                                .n = columns,
                                .k = g.samples * rows,
                                .a = shk_rows_at(s, &op->in) + (ptrdiff_t)(g.start * rows) * in_row,
                                .a_row = 1,
                                .a_col = in_row,
                                .b = dy,
                                .b_row = dz_row,
                                .b_panel = 16,
                                .c = g.sums + op->weight_grad,
                                .c_row = 16,
                                .c_panel = (ptrdiff_t)k * 16,
                                .accumulate = !g.fresh,
                                .addend = g.adds ? g.sums + op->weight_grad : NULL,
                                .addend_row = 16,
                                .addend_panel = (ptrdiff_t)k * 16,
                                .sums = db};
        s->k->gemm(&gemm);
    }
}

const struct shk_op_kind shk_op_linear = {{forward, input_gradient, weight_gradient}};
