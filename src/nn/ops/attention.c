// SPDX-License-Identifier: MIT
// The attention op computes the heads between two projections: softmax(Q K^T / sqrt(d)) V of each.
#include "nn/ops/attention.h"

#include "nn/ops/ops.h"
#include <math.h>

struct attention {
    struct shk_op op;
    size_t heads, d; // d padded
    float scale;
    struct shk_view q, k, v, q_grad, k_grad, v_grad; // columns of in and in_grad
    int p;                                           // weights [heads][rows + 1][round16(rows)]
    struct shk_drops drops;
};

static float *head_rows(const struct shk_slice *s, const struct shk_view *v, size_t sample, size_t column) {
    return shk_rows_at(s, v) + sample * shk_sample_stride(s, v) + column;
}

static struct shk_attention head_of(const struct attention *a, const struct shk_slice *s, size_t sample, size_t head) {
    size_t rows = a->op.out.rows, columns = shk_round16(rows), column = head * a->d;
    size_t head_cells = (rows * columns + 127) & ~(size_t)127;
    return (struct shk_attention){
        .queries = rows,
        .tokens = rows,
        .d = a->d,
        .ld_q = a->q.ld,
        .ld_kv = a->k.ld,
        .ld_out = a->op.out.ld,
        .scale = a->scale,
        .q = head_rows(s, &a->q, sample, column),
        .k = head_rows(s, &a->k, sample, column),
        .v = head_rows(s, &a->v, sample, column),
        .out = head_rows(s, &a->op.out, sample, column),
        .p = shk_buffer_at(s, a->p) + (sample * a->heads + head) * (rows + 1) * columns,
        .drop = shk_dropout_of(&a->drops, s, sample),
        .element = (uint32_t)(head * head_cells),
        .scratch = s->scratch,
    };
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct attention *attention = (const struct attention *)op;
    for (size_t i = 0; i < s->samples; i++) {
        for (size_t h = 0; h < attention->heads; h++) {
            struct shk_attention a = head_of(attention, s, i, h);
            s->k->attention_forward(&a);
        }
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct attention *attention = (const struct attention *)op;
    for (size_t i = 0; i < s->samples; i++) {
        for (size_t h = 0; h < attention->heads; h++) {
            struct shk_attention a = head_of(attention, s, i, h);
            size_t column = h * attention->d;
            a.dout = head_rows(s, &op->out_grad, i, column);
            a.dq = head_rows(s, &attention->q_grad, i, column);
            a.dk = head_rows(s, &attention->k_grad, i, column);
            a.dv = head_rows(s, &attention->v_grad, i, column);
            s->k->attention_backward(&a);
        }
    }
}

// ---- In the plan

static struct shk_view columns_of(struct shk_view v, size_t column, size_t columns) {
    if (v.buffer < 0) return v;
    v.offset += column;
    v.cols = columns;
    return v;
}

static bool is_ours(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (l->kind != SHK_ATTENTION || l->attention.cls_alone) return false;
    const struct shk_axis stacked = shk_stacked_axis(l->attention.heads, l->out.c);
    return shk_axis_equal(&shk_input_of(f)->axis, &stacked) && shk_graph_consumer(f->graph, l->in[0]) == f->at;
}

static bool match(struct shk_lowering *f) {
    if (!is_ours(f)) return false;
    const struct shk_layer *l = shk_layer_at(f, f->at);
    struct attention *a = shk_op_new(f, &shk_op_attention, l->name, shk_input_of(f));
    if (!a) return false;
    struct shk_plan *p = f->plan;
    const size_t heads = l->attention.heads, inner = shk_heads_columns(heads, l->out.c), rows = a->op.in.rows;
    const struct shk_view in = a->op.in, grad = a->op.in_grad;
    a->heads = heads;
    a->d = inner / heads;
    a->scale = 1.0f / sqrtf((float)(l->out.c / heads));
    a->drops = shk_drops_of(f, l, l->attention.dropout);
    a->q = columns_of(in, 0, inner);
    a->q_grad = columns_of(grad, 0, inner);
    a->k = columns_of(in, inner, inner);
    a->k_grad = columns_of(grad, inner, inner);
    a->v = columns_of(in, 2 * inner, inner);
    a->v_grad = columns_of(grad, 2 * inner, inner);
    a->p = shk_buffer_new(p, heads * (rows + 1) * shk_round16(rows));
    a->op.out = shk_view_new(p, rows, inner);
    a->op.out_grad = shk_grad_new(p, rows, inner);
    shk_gives(f, f->at, &a->op, shk_heads_axis(heads, l->out.c));
    return true;
}

static void declare(struct shk_op *op) {
    shk_op_uses_views(op, SHK_READS_BACKWARD, 0);
    shk_op_uses(op, ((struct attention *)op)->p, SHK_WRITES_FORWARD | SHK_READS_BACKWARD | SHK_WRITES_BACKWARD);
}

static size_t scratch(const struct shk_op *op) {
    return shk_attention_scratch(op->out.rows, op->out.rows, ((const struct attention *)op)->d);
}

// Scores and sums forward; twice that backward.
static double flops(const struct shk_op *op, enum shk_phase phase) {
    const double forward = 4.0 * (double)(op->out.rows * op->out.rows) * (double)op->out.cols;
    return phase == SHK_FORWARD ? forward : phase == SHK_INPUT_GRADIENT ? 2 * forward : 0;
}

const struct shk_op_type shk_op_attention = {.name = "attention",
                                             .size = sizeof(struct attention),
                                             .match = match,
                                             .declare = declare,
                                             .run = {forward, input_gradient},
                                             .scratch = scratch,
                                             .flops = flops};
