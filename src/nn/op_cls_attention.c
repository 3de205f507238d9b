// SPDX-License-Identifier: MIT
// Attention of CLS alone, from its query to the heads' outputs, without keys and values of the other tokens: the
// products with their weights are reassociated, so that they see one row a sample (shk_cls_attention in kernels.h).
#include "nn/op.h"

// A row a sample.
struct rows {
    float *at;
    ptrdiff_t row;
};

static struct rows rows_of(const struct shk_slice *s, int buffer, size_t offset) {
    return (struct rows){shk_buffer_at(s, buffer) + offset, (ptrdiff_t)s->plan->buffers[buffer].per_sample};
}

// One head's part of each operand. q, z, ...: [d] or [cols] a sample; the weights' gradients follow from them alone.
struct head {
    struct rows q, u, z, r, out;
    size_t key, value; // its first columns in the stacked projection
};

static struct head head_of(const struct shk_op *op, const struct shk_slice *s, size_t h) {
    size_t d = op->u.cls_attention.d, cols = op->in.cols, inner = op->u.cls_attention.heads * d;
    return (struct head){
        .q = rows_of(s, op->u.cls_attention.q.buffer, op->u.cls_attention.q.offset + h * d),
        .u = rows_of(s, op->u.cls_attention.u, h * cols),
        .z = rows_of(s, op->u.cls_attention.z, h * cols),
        .r = rows_of(s, op->u.cls_attention.r, h),
        .out = rows_of(s, op->out.buffer, op->out.offset + h * d),
        .key = inner + h * d,
        .value = 2 * inner + h * d,
    };
}

// c [samples][n] (+)= a [samples][k] B.
static void multiply(const struct shk_slice *s, struct rows a, size_t k, const float *b, ptrdiff_t b_panel,
                     struct rows c, size_t n, bool accumulate) {
    s->k->gemm(&(struct shk_gemm){.m = s->samples,
                                  .n = n,
                                  .k = k,
                                  .a = a.at,
                                  .a_row = a.row,
                                  .a_col = 1,
                                  .b = b,
                                  .b_row = 16,
                                  .b_panel = b_panel,
                                  .c = c.at,
                                  .c_row = c.row,
                                  .c_panel = 16,
                                  .accumulate = accumulate});
}

// Times the weight's columns from `column` on, cols x d; and times their transpose, d x cols.
static void times_columns(const struct shk_op *op, const struct shk_slice *s, struct rows a, size_t column,
                          struct rows c, bool accumulate) {
    const struct shk_param *w = op->weight;
    multiply(s, a, w->row, s->weights + w->offset + column * w->row, (ptrdiff_t)w->row * 16, c, op->u.cls_attention.d,
             accumulate);
}

static void times_transposed(const struct shk_op *op, const struct shk_slice *s, struct rows a, size_t column,
                             struct rows c) {
    const struct shk_param *w = op->weight;
    multiply(s, a, op->u.cls_attention.d, s->derived + w->derived_offset + column * 16,
             (ptrdiff_t)(w->length / w->row) * 16, c, w->row, false);
}

static struct shk_cls_attention sample_of(const struct shk_op *op, const struct shk_slice *s, size_t sample) {
    struct rows p = rows_of(s, op->u.cls_attention.p, 0), u = rows_of(s, op->u.cls_attention.u, 0);
    struct rows z = rows_of(s, op->u.cls_attention.z, 0), r = rows_of(s, op->u.cls_attention.r, 0);
    return (struct shk_cls_attention){
        .tokens = op->in.rows,
        .cols = op->in.cols,
        .heads = op->u.cls_attention.heads,
        .scale = op->u.cls_attention.scale,
        .x = shk_rows_at(s, &op->in) + sample * shk_sample_stride(s, &op->in),
        .x_row = (ptrdiff_t)op->in.ld,
        .u = u.at + (ptrdiff_t)sample * u.row,
        .p = p.at + (ptrdiff_t)sample * p.row,
        .z = z.at + (ptrdiff_t)sample * z.row,
        .r = r.at + (ptrdiff_t)sample * r.row,
        .drop = shk_dropout_of(op, s, sample),
        .scratch = s->scratch,
    };
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const float *bias = s->weights + op->bias->offset;
    size_t heads = op->u.cls_attention.heads;
    for (size_t h = 0; h < heads; h++) {
        struct head x = head_of(op, s, h);
        times_transposed(op, s, x.q, x.key, x.u);
    }
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_cls_attention a = sample_of(op, s, i);
        s->k->cls_attention_forward(&a);
    }
    for (size_t h = 0; h < heads; h++) {
        struct head x = head_of(op, s, h);
        multiply(s, x.r, 1, bias + x.value, 16, x.out, op->u.cls_attention.d, false);
        times_columns(op, s, x.z, x.value, x.out, true);
    }
}

// The gradient of r: products rounded and added in order.
static float dot(size_t n, const float *a, const float *b) {
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    size_t d = op->u.cls_attention.d, heads = op->u.cls_attention.heads, cols = op->in.cols;
    const float *value_bias = s->weights + op->bias->offset + 2 * heads * d;
    struct rows dout = rows_of(s, op->out_grad.buffer, op->out_grad.offset), du = rows_of(s, op->u.cls_attention.du, 0);
    struct rows dr = rows_of(s, op->u.cls_attention.dr, 0);
    for (size_t h = 0; h < heads; h++) {
        struct rows dz = rows_of(s, op->u.cls_attention.u, (heads + h) * cols);
        times_transposed(op, s, (struct rows){dout.at + h * d, dout.row}, head_of(op, s, h).value, dz);
    }
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_cls_attention a = sample_of(op, s, i);
        ptrdiff_t sample = (ptrdiff_t)i;
        for (size_t h = 0; h < heads; h++)
            dr.at[sample * dr.row + (ptrdiff_t)h] = dot(d, dout.at + sample * dout.row + h * d, value_bias + h * d);
        a.dr = dr.at + sample * dr.row;
        a.du = du.at + sample * du.row;
        a.dx = shk_rows_at(s, &op->in_grad) + i * shk_sample_stride(s, &op->in_grad);
        a.dx_row = (ptrdiff_t)op->in_grad.ld;
        s->k->cls_attention_backward(&a);
    }
    for (size_t h = 0; h < heads; h++) {
        struct rows dq = rows_of(s, op->u.cls_attention.q_grad.buffer, op->u.cls_attention.q_grad.offset + h * d);
        times_columns(op, s, (struct rows){du.at + h * cols, du.row}, head_of(op, s, h).key, dq, false);
    }
}

// The weights' gradients are update tasks.
const struct shk_op_kind shk_op_cls_attention = {{forward, input_gradient}};
