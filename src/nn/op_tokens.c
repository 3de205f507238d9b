// SPDX-License-Identifier: MIT
// Token matrices: patch embedding, LayerNorm, attention, and what the head reads.
#include "nn/op.h"

#include <math.h>
#include <string.h>

// ---- Patch embedding: Conv2d(c, dim, patch, stride patch), CLS token in row 0, positions ----

// A patch of one channel, four pixels at a time.
static inline void cut_grey_patch(size_t patch, const float *corner, size_t row, float *out) {
    for (size_t y = 0; y < patch; y++, out += patch)
        for (size_t x = 0; x < patch; x += 4) memcpy(out + x, corner + y * row + x, 4 * sizeof(float));
}

static void cut_patch(size_t patch, size_t channels, const float *corner, size_t row, float *out) {
    for (size_t c = 0; c < channels; c++)
        for (size_t y = 0; y < patch; y++)
            for (size_t x = 0; x < patch; x++) *out++ = corner[y * row + x * channels + c];
}

// Rows (c, y, x) of each patch, as PyTorch's weight has them; the pads behind stay zero.
static void cut_patches(const struct shk_op *op, const struct shk_slice *s, const float *image, float *rows) {
    const struct shk_shape *shape = &s->plan->model->shape;
    const size_t patch = op->u.embed.patch, across = shape->width / patch, down = op->u.embed.patches / across;
    const size_t channels = shape->channels, row = shape->width * channels;
    for (size_t i = 0; i < down; i++, image += patch * row) {
        const float *corner = image;
        for (size_t j = 0; j < across; j++, corner += patch * channels, rows += op->weight->row) {
            if (channels == 1 && patch == 4)
                cut_grey_patch(4, corner, row, rows); // without loops
            else if (channels == 1 && patch % 4 == 0)
                cut_grey_patch(patch, corner, row, rows);
            else
                cut_patch(patch, channels, corner, row, rows);
        }
    }
}

static void embed_forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_param *w = op->weight, *cls = op->u.embed.cls, *positions = op->u.embed.positions;
    size_t ld = op->out.ld;
    for (size_t i = 0; i < s->samples; i++) {
        float *rows =
            shk_buffer_at(s, op->u.embed.patch_rows) + i * s->plan->buffers[op->u.embed.patch_rows].per_sample;
        float *out = shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out);
        cut_patches(op, s, s->images[i], rows);
        const float *position = positions ? s->weights + positions->offset : NULL;
        if (cls) {
            memcpy(out, s->weights + cls->offset, ld * sizeof(float));
            if (position) s->k->add(&(struct shk_add){1, ld, position, (ptrdiff_t)ld, out, (ptrdiff_t)ld});
        }
        struct shk_gemm gemm = {.m = op->u.embed.patches,
                                .n = ld,
                                .k = w->row,
                                .a = rows,
                                .a_row = (ptrdiff_t)w->row,
                                .a_col = 1,
                                .b = s->weights + w->offset,
                                .b_row = 16,
                                .b_panel = (ptrdiff_t)w->row * 16,
                                .c = out + (cls ? ld : 0),
                                .c_row = (ptrdiff_t)ld,
                                .c_panel = 16,
                                .bias = s->weights + op->bias->offset,
                                .addend = position ? position + (cls ? ld : 0) : NULL,
                                .addend_row = (ptrdiff_t)ld,
                                .addend_panel = 16};
        s->k->gemm(&gemm);
    }
}

// What is added to each sample: the sum over the samples of a segment, n floats of each.
static void sum_samples(const struct shk_op *op, const struct shk_slice *s, const struct shk_segment *g, size_t n,
                        float *sum) {
    size_t stride = shk_sample_stride(s, &op->out_grad);
    s->k->column_sum(&(struct shk_column_sum){.rows = g->samples,
                                              .cols = n,
                                              .x = shk_rows_at(s, &op->out_grad) + g->start * stride,
                                              .row = (ptrdiff_t)stride,
                                              .start = g->fresh ? NULL : sum,
                                              .sum = sum});
}

static void embed_weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_param *w = op->weight, *cls = op->u.embed.cls, *positions = op->u.embed.positions;
    size_t ld = op->out.ld;
    SHK_EACH_SEGMENT(s, g) {
        if (cls) sum_samples(op, s, &g, ld, g.grads + op->u.embed.cls_grad);
        if (positions) sum_samples(op, s, &g, op->out.rows * ld, g.grads + op->u.embed.positions_grad);
        float *db = g.grads + op->bias_grad;
        if (g.fresh) memset(db, 0, ld * sizeof *db);
        for (size_t i = g.start; i < g.start + g.samples; i++) {
            const float *rows =
                shk_buffer_at(s, op->u.embed.patch_rows) + i * s->plan->buffers[op->u.embed.patch_rows].per_sample;
            const float *dy = shk_rows_at(s, &op->out_grad) + i * shk_sample_stride(s, &op->out_grad);
            dy += cls ? ld : 0;
            struct shk_gemm gemm = {.m = w->row,
                                    .n = ld,
                                    .k = op->u.embed.patches,
                                    .a = rows,
                                    .a_row = 1,
                                    .a_col = (ptrdiff_t)w->row,
                                    .b = dy,
                                    .b_row = (ptrdiff_t)ld,
                                    .b_panel = 16,
                                    .c = g.grads + op->weight_grad,
                                    .c_row = 16,
                                    .c_panel = (ptrdiff_t)w->row * 16,
                                    .accumulate = !(g.fresh && i == g.start),
                                    .sums = db};
            s->k->gemm(&gemm);
        }
    }
}

// ---- LayerNorm ----

static struct shk_layernorm norm_of(const struct shk_op *op, const struct shk_slice *s, size_t start, size_t samples) {
    ptrdiff_t first = (ptrdiff_t)(start * op->in.rows);
    struct shk_layernorm n = {.rows = samples * op->in.rows, .cols = op->u.norm.cols};
    n.x_row = shk_row_stride(s, &op->in);
    n.x = shk_rows_at(s, &op->in) + first * n.x_row;
    n.gamma = s->weights + op->weight->offset;
    n.beta = s->weights + op->bias->offset;
    n.y_row = shk_row_stride(s, &op->out);
    n.y = shk_rows_at(s, &op->out) + first * n.y_row;
    if (op->u.norm.stats >= 0) {
        const struct shk_buffer *b = &s->plan->buffers[op->u.norm.stats];
        n.stats = shk_buffer_at(s, op->u.norm.stats) + start * b->per_sample;
        n.stats_row = op->in.rows == 1 ? (ptrdiff_t)b->per_sample : 2;
    }
    return n;
}

// One by one, since a sample's statistics are padded to a multiple of 16 floats, unless they have a row each.
static size_t samples_at_once(const struct shk_op *op, size_t samples) { return op->in.rows == 1 ? samples : 1; }

static void norm_forward(const struct shk_op *op, const struct shk_slice *s) {
    const size_t step = samples_at_once(op, s->samples);
    for (size_t i = 0; i < s->samples; i += step) {
        struct shk_layernorm n = norm_of(op, s, i, step);
        s->k->layernorm_forward(&n);
    }
}

static void norm_backward(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) {
        float *dgamma = g.grads + op->weight_grad, *dbeta = g.grads + op->bias_grad;
        if (g.fresh) {
            memset(dgamma, 0, op->weight->length * sizeof(float));
            memset(dbeta, 0, op->bias->length * sizeof(float));
        }
        const size_t step = samples_at_once(op, g.samples);
        for (size_t i = g.start; i < g.start + g.samples; i += step) {
            struct shk_layernorm n = norm_of(op, s, i, step);
            n.dy_row = shk_row_stride(s, &op->out_grad);
            n.dy = shk_rows_at(s, &op->out_grad) + (ptrdiff_t)(i * op->in.rows) * n.dy_row;
            n.dx_row = shk_row_stride(s, &op->in_grad);
            n.dx = shk_rows_at(s, &op->in_grad) + (ptrdiff_t)(i * op->in.rows) * n.dx_row;
            n.accumulate = op->accumulate;
            n.dgamma = dgamma;
            n.dbeta = dbeta;
            s->k->layernorm_backward(&n);
        }
    }
}

// ---- Attention: the heads, between the two projections ----

static float *head_rows(const struct shk_slice *s, const struct shk_view *v, size_t sample, size_t column) {
    return shk_rows_at(s, v) + sample * shk_sample_stride(s, v) + column;
}

static struct shk_attention attention_of(const struct shk_op *op, const struct shk_slice *s, size_t sample,
                                         size_t head) {
    size_t queries = op->out.rows, tokens = op->u.attention.tokens, d = op->u.attention.d;
    size_t columns = shk_round16(queries), column = head * d;
    size_t site_cells = (tokens * columns + 127) & ~(size_t)127;
    return (struct shk_attention){
        .queries = queries,
        .tokens = tokens,
        .d = d,
        .ld_q = op->u.attention.q.ld,
        .ld_kv = op->u.attention.k.ld,
        .ld_out = op->out.ld,
        .scale = op->u.attention.scale,
        .q = head_rows(s, &op->u.attention.q, sample, column),
        .k = head_rows(s, &op->u.attention.k, sample, column),
        .v = head_rows(s, &op->u.attention.v, sample, column),
        .out = head_rows(s, &op->out, sample, column),
        .p = shk_buffer_at(s, op->u.attention.p) + (sample * op->u.attention.heads + head) * (tokens + 1) * columns,
        .drop = shk_dropout_of(op, s, sample),
        .element = (uint32_t)(head * site_cells),
        .scratch = s->scratch,
    };
}

static void attention_forward(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        for (size_t h = 0; h < op->u.attention.heads; h++) {
            struct shk_attention a = attention_of(op, s, i, h);
            s->k->attention_forward(&a);
        }
    }
}

static void attention_backward(const struct shk_op *op, const struct shk_slice *s) {
    for (size_t i = 0; i < s->samples; i++) {
        for (size_t h = 0; h < op->u.attention.heads; h++) {
            struct shk_attention a = attention_of(op, s, i, h);
            size_t column = h * op->u.attention.d;
            a.dout = head_rows(s, &op->out_grad, i, column);
            a.dq = head_rows(s, &op->u.attention.q_grad, i, column);
            a.dk = head_rows(s, &op->u.attention.k_grad, i, column);
            a.dv = head_rows(s, &op->u.attention.v_grad, i, column);
            s->k->attention_backward(&a);
        }
    }
}

// ---- What the head reads ----

// CLS alone goes on: `out` is row 0 of `in`, or a copy of it.
static void select_forward(const struct shk_op *op, const struct shk_slice *s) {
    if (op->out.buffer == op->in.buffer) return;
    for (size_t i = 0; i < s->samples; i++)
        memcpy(shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out),
               shk_rows_at(s, &op->in) + i * shk_sample_stride(s, &op->in), op->out.cols * sizeof(float));
}

static void select_backward(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_view row0 = op->in_grad;
    row0.rows = 1;
    s->k->add(&(struct shk_add){s->samples, op->out.cols, shk_rows_at(s, &op->out_grad),
                                shk_row_stride(s, &op->out_grad), shk_rows_at(s, &row0), shk_row_stride(s, &row0)});
}

static void mean_forward(const struct shk_op *op, const struct shk_slice *s) {
    float inverse = 1.0f / (float)op->in.rows;
    for (size_t i = 0; i < s->samples; i++) {
        float *out = shk_rows_at(s, &op->out) + i * shk_sample_stride(s, &op->out);
        const float *x = shk_rows_at(s, &op->in) + i * shk_sample_stride(s, &op->in);
        s->k->column_sum(&(struct shk_column_sum){
            .rows = op->in.rows, .cols = op->in.cols, .x = x, .row = (ptrdiff_t)op->in.ld, .sum = out});
        for (size_t c = 0; c < op->out.cols; c++) out[c] *= inverse;
    }
}

static void mean_backward(const struct shk_op *op, const struct shk_slice *s) {
    float inverse = 1.0f / (float)op->in.rows;
    for (size_t i = 0; i < s->samples; i++) {
        const float *dy = shk_rows_at(s, &op->out_grad) + i * shk_sample_stride(s, &op->out_grad);
        float *dx = shk_rows_at(s, &op->in_grad) + i * shk_sample_stride(s, &op->in_grad);
        for (size_t r = 0; r < op->in.rows; r++)
            for (size_t c = 0; c < op->in.cols; c++) dx[r * op->in.ld + c] = dy[c] * inverse;
    }
}

static void cross_entropy(const struct shk_op *op, const struct shk_slice *s) {
    struct shk_cross_entropy x = {.rows = s->samples,
                                  .classes = s->plan->model->shape.classes,
                                  .logits = shk_rows_at(s, &op->in),
                                  .row = shk_row_stride(s, &op->in),
                                  .labels = s->labels,
                                  .scale = 1.0f / (float)s->batch_samples,
                                  .dlogits = op->in_grad.buffer >= 0 ? shk_rows_at(s, &op->in_grad) : NULL,
                                  .loss = s->loss,
                                  .predicted = s->predicted};
    s->k->cross_entropy(&x);
}

const struct shk_op_kind shk_op_embed = {{embed_forward, NULL, embed_weight_gradient}};
const struct shk_op_kind shk_op_norm = {{norm_forward, norm_backward}};
const struct shk_op_kind shk_op_attention = {{attention_forward, attention_backward}};
const struct shk_op_kind shk_op_select_cls = {{select_forward, select_backward}};
const struct shk_op_kind shk_op_mean_tokens = {{mean_forward, mean_backward}};
const struct shk_op_kind shk_op_cross_entropy = {{cross_entropy}}; // with its gradient
