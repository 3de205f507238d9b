// SPDX-License-Identifier: MIT
// The cls_attention op computes attention of CLS alone, from its query to the heads' outputs, without keys and values of the
// other tokens: the products with their weights are reassociated, so that they see one row a sample. With u = Wk q the scores
// are u.x, with z = sum p x the output is Wv z (the key's bias does not change a softmax; its gradient is zero).
#include "nn/ops/attention.h"
#include "nn/ops/linear.h"
#include "nn/ops/select_cls.h"
#include <math.h>

struct cls_attention {
    struct shk_op op;
    size_t heads, d; // d padded
    float scale;
    struct shk_view q, q_grad;
    int u;       // [2*heads][cols]: Wk q of each head, and in training behind them the gradients of z
    int p, z, r; // [heads][round16(tokens)], [heads][cols], [heads]
    int du, dr;  // gradients of u and r
    struct shk_drops drops;
};

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

static struct head head_of(const struct cls_attention *a, const struct shk_slice *s, size_t h) {
    size_t d = a->d, cols = a->op.in.cols, inner = a->heads * d;
    return (struct head){
        .q = rows_of(s, a->q.buffer, a->q.offset + h * d),
        .u = rows_of(s, a->u, h * cols),
        .z = rows_of(s, a->z, h * cols),
        .r = rows_of(s, a->r, h),
        .out = rows_of(s, a->op.out.buffer, a->op.out.offset + h * d),
        .key = inner + h * d,
        .value = 2 * inner + h * d,
    };
}

// c [samples][n] (+)= x [samples][k] B.
static void multiply(const struct shk_slice *s, struct rows x, size_t k, const float *b, ptrdiff_t b_panel,
                     struct rows c, size_t n, bool accumulate) {
    s->k->gemm(&(struct shk_gemm){.m = s->samples,
                                  .n = n,
                                  .k = k,
                                  .a = x.at,
                                  .a_row = x.row,
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
static void times_columns(const struct cls_attention *a, const struct shk_slice *s, struct rows x, size_t column,
                          struct rows c, bool accumulate) {
    const struct shk_param *w = a->op.weight;
    multiply(s, x, w->ld, s->weights + w->offset + column * w->ld, (ptrdiff_t)w->ld * 16, c, a->d, accumulate);
}

static void times_transposed(const struct cls_attention *a, const struct shk_slice *s, struct rows x, size_t column,
                             struct rows c) {
    const struct shk_param *w = a->op.weight;
    multiply(s, x, a->d, s->derived + w->derived_offset + column * 16, (ptrdiff_t)(w->length / w->ld) * 16, c, w->ld,
             false);
}

static struct shk_cls_attention sample_of(const struct cls_attention *a, const struct shk_slice *s, size_t sample) {
    struct rows p = rows_of(s, a->p, 0), u = rows_of(s, a->u, 0);
    struct rows z = rows_of(s, a->z, 0), r = rows_of(s, a->r, 0);
    return (struct shk_cls_attention){
        .tokens = a->op.in.rows,
        .cols = a->op.in.cols,
        .heads = a->heads,
        .scale = a->scale,
        .x = shk_rows_at(s, &a->op.in) + sample * shk_sample_stride(s, &a->op.in),
        .x_row = (ptrdiff_t)a->op.in.ld,
        .u = u.at + (ptrdiff_t)sample * u.row,
        .p = p.at + (ptrdiff_t)sample * p.row,
        .z = z.at + (ptrdiff_t)sample * z.row,
        .r = r.at + (ptrdiff_t)sample * r.row,
        .drop = shk_dropout_of(&a->drops, s, sample),
        .scratch = s->scratch,
    };
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct cls_attention *a = (const struct cls_attention *)op;
    const float *bias = s->weights + a->op.bias->offset;
    size_t heads = a->heads;
    for (size_t h = 0; h < heads; h++) {
        struct head x = head_of(a, s, h);
        times_transposed(a, s, x.q, x.key, x.u);
    }
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_cls_attention x = sample_of(a, s, i);
        s->k->cls_attention_forward(&x);
    }
    for (size_t h = 0; h < heads; h++) {
        struct head x = head_of(a, s, h);
        multiply(s, x.r, 1, bias + x.value, 16, x.out, a->d, false);
        times_columns(a, s, x.z, x.value, x.out, true);
    }
}

// The gradient of r: products rounded and added in order.
static float dot(size_t n, const float *a, const float *b) {
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct cls_attention *a = (const struct cls_attention *)op;
    size_t d = a->d, heads = a->heads, cols = a->op.in.cols;
    const float *value_bias = s->weights + a->op.bias->offset + 2 * heads * d;
    struct rows dout = rows_of(s, a->op.out_grad.buffer, a->op.out_grad.offset), du = rows_of(s, a->du, 0);
    struct rows dr = rows_of(s, a->dr, 0);
    for (size_t h = 0; h < heads; h++) {
        struct rows dz = rows_of(s, a->u, (heads + h) * cols);
        times_transposed(a, s, (struct rows){dout.at + h * d, dout.row}, head_of(a, s, h).value, dz);
    }
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_cls_attention x = sample_of(a, s, i);
        ptrdiff_t sample = (ptrdiff_t)i;
        for (size_t h = 0; h < heads; h++)
            dr.at[sample * dr.row + (ptrdiff_t)h] = dot(d, dout.at + sample * dout.row + h * d, value_bias + h * d);
        x.dr = dr.at + sample * dr.row;
        x.du = du.at + sample * du.row;
        x.dx = shk_rows_at(s, &a->op.in_grad) + i * shk_sample_stride(s, &a->op.in_grad);
        x.dx_row = (ptrdiff_t)a->op.in_grad.ld;
        s->k->cls_attention_backward(&x);
    }
    for (size_t h = 0; h < heads; h++) {
        struct rows dq = rows_of(s, a->q_grad.buffer, a->q_grad.offset + h * d);
        times_columns(a, s, (struct rows){du.at + h * cols, du.row}, head_of(a, s, h).key, dq, false);
    }
}

// ---- Gradients of keys' and values' weights, over the whole batch

static float *buffer_of(const struct shk_whole_batch *w, int buffer) {
    const struct shk_buffer *b = &w->plan->buffers[buffer];
    return w->batch_space + b->offset + w->first * b->per_sample;
}

// Of one head: keys du^T q; values z^T dout, and their bias r^T dout.
static void gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *tile) {
    const struct cls_attention *a = (const struct cls_attention *)u->op;
    size_t inner = a->heads * a->d;
    bool bias = u->param == a->op.bias;
    size_t column = bias ? u->start : u->panel * 16, part = column % inner, head = part / a->d;
    bool values = column >= 2 * inner;
    int x = bias ? a->r : values ? a->z : a->du;
    const struct shk_view *y = values ? &a->op.out_grad : &a->q;
    struct shk_gemm gemm = {.m = bias ? 1 : u->length / 16,
                            .n = bias ? u->length : u->panels * 16,
                            .k = w->samples,
                            .a = buffer_of(w, x) + (bias ? head : head * a->op.weight->ld + u->row),
                            .a_row = 1,
                            .a_col = (ptrdiff_t)w->plan->buffers[x].per_sample,
                            .b = shk_batch_rows(w, y, &(ptrdiff_t){0}) + part,
                            .b_row = (ptrdiff_t)w->plan->buffers[y->buffer].per_sample,
                            .b_panel = 16,
                            .c = tile,
                            .c_row = 16,
                            .c_panel = bias ? 16 : (ptrdiff_t)u->length};
    w->k->gemm(&gemm);
}

// Head by head. The query's part is the projection's.
static void updates(struct shk_op *op, struct shk_update_list *list) {
    const struct cls_attention *a = (const struct cls_attention *)op;
    const size_t d = a->d, inner = a->heads * d;
    const struct shk_tile tile = shk_tile_of(op->weight->ld, d, shk_updates_tile_floats(list));
    for (size_t column = inner; column < 3 * inner; column += d) {
        shk_updates_of_panels(list, op, op->weight, column / 16, (column + d) / 16, false, true, tile);
        if (column >= 2 * inner)
            shk_updates_add(
                list, (struct shk_update){.param = op->bias, .op = op, .start = column, .length = d, .of_batch = true});
    }
    shk_updates_none(list, op->bias, inner, inner); // the keys': a softmax does not see it
}

static size_t batch_floats(const struct shk_op *op) {
    const struct cls_attention *a = (const struct cls_attention *)op;
    return 2 * a->heads * a->d * op->weight->ld;
}

static double batch_flops(const struct shk_op *op) { return 2.0 * (double)op->out.rows * (double)batch_floats(op); }

// ---- In the plan

static void make_buffers(struct shk_lowering *f, struct cls_attention *a) {
    struct shk_plan *p = f->plan;
    const size_t cols = a->op.in.cols, heads = a->heads;
    a->u = shk_buffer_new(p, (p->training ? 2 : 1) * heads * cols);
    a->p = shk_buffer_new(p, heads * shk_round16(a->op.in.rows));
    a->z = shk_buffer_new(p, heads * cols);
    a->r = shk_buffer_new(p, heads);
    a->du = p->training ? shk_buffer_new(p, heads * cols) : -1;
    a->dr = p->training ? shk_buffer_new(p, heads) : -1;
    a->op.out = shk_view_new(p, 1, heads * a->d);
    a->op.out_grad = shk_grad_new(p, 1, heads * a->d);
}

// The gradients of query, key and value weights are left to the update tasks, and so what they are made of stays.
static void use_batch(struct shk_lowering *f, struct shk_linear *query, const struct cls_attention *a) {
    const int kept[] = {a->q.buffer, a->z, a->r, a->du, a->op.out_grad.buffer};
    shk_linear_use_batch(query, f->plan);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) f->plan->buffers[kept[i]].space = SHK_BATCH;
}

// CLS itself, copied, and its query.
static struct shk_linear *make_query(struct shk_lowering *f, const struct shk_layer *projection, size_t inner) {
    const struct shk_op *cls = shk_select_cls_new(f, true);
    if (!cls) return NULL;
    const struct shk_value row = {cls->out, cls->out_grad, shk_input_of(f)->axis, cls, false};
    struct shk_linear *query = shk_linear_new(f, projection, &row, inner);
    if (!query) return NULL;
    query->op.accumulate = false;
    query->op.out = shk_view_new(f->plan, 1, inner);
    query->op.out_grad = shk_grad_new(f->plan, 1, inner);
    return query;
}

static bool match(struct shk_lowering *f) {
    const int heads = shk_layer_is(f, f->at, SHK_LINEAR) ? shk_follower(f, f->at, SHK_ATTENTION) : -1;
    if (heads < 0 || !shk_layer_at(f, heads)->attention.cls_alone || !shk_reads_last(f)) return false;
    const struct shk_layer *projection = shk_layer_at(f, f->at), *l = shk_layer_at(f, heads);
    const struct shk_value in = *shk_input_of(f);
    const size_t n = l->attention.heads, dim = l->out.c, inner = shk_heads_columns(n, dim);
    shk_linear_lay_out(f, projection, shk_stacked_axis(n, dim), 3 * inner, in.axis, in.value.cols);
    struct shk_linear *query = make_query(f, projection, inner);
    struct cls_attention *a = query ? shk_op_new(f, &shk_op_cls_attention, l->name, &in) : NULL;
    if (!a) return false;
    a->op.weight = query->op.weight;
    a->op.bias = query->op.bias;
    a->heads = n;
    a->d = inner / n;
    a->scale = 1.0f / sqrtf((float)(dim / n));
    a->drops = shk_drops_of(f, l, l->attention.dropout);
    a->q = query->op.out;
    a->q_grad = query->op.out_grad;
    make_buffers(f, a);
    if (f->plan->training) use_batch(f, query, a);
    shk_takes(f, f->at);
    shk_gives(f, heads, &a->op, shk_heads_axis(n, dim));
    return true;
}

static void declare(struct shk_op *op) {
    const struct cls_attention *a = (const struct cls_attention *)op;
    const unsigned made = SHK_READS_FORWARD | SHK_WRITES_FORWARD, back = SHK_READS_BACKWARD | SHK_WRITES_BACKWARD;
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, op->out.buffer, made);
    shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_BACKWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | SHK_READS_TASKS);
    shk_op_uses(op, a->q.buffer, SHK_READS_FORWARD | SHK_READS_BACKWARD | SHK_READS_TASKS);
    shk_op_uses(op, a->q_grad.buffer, SHK_WRITES_BACKWARD);
    shk_op_uses(op, a->u, made | back);
    shk_op_uses(op, a->p, made | back);
    shk_op_uses(op, a->z, made | back | SHK_READS_TASKS);
    shk_op_uses(op, a->r, made | back | SHK_READS_TASKS);
    shk_op_uses(op, a->du, back | SHK_READS_TASKS);
    shk_op_uses(op, a->dr, back);
}

static size_t scratch(const struct shk_op *op) {
    return shk_cls_attention_scratch(op->in.rows, ((const struct cls_attention *)op)->heads);
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct cls_attention *a = (const struct cls_attention *)op;
    const double products = 4.0 * (double)(a->heads * op->in.cols);
    const double rows = products * (double)op->in.rows, weights = products * (double)a->d;
    return phase == SHK_FORWARD ? rows + weights : phase == SHK_INPUT_GRADIENT ? 2 * rows + weights : 0;
}

const struct shk_op_type shk_op_cls_attention = {.name = "cls_attention",
                                                 .size = sizeof(struct cls_attention),
                                                 .match = match,
                                                 .declare = declare,
                                                 .run = {forward, input_gradient},
                                                 .scratch = scratch,
                                                 .flops = flops,
                                                 .updates = updates,
                                                 .batch_floats = batch_floats,
                                                 .batch_flops = batch_flops,
                                                 .gradient = gradient};
