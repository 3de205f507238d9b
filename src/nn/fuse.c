// SPDX-License-Identifier: MIT
// Layers to ops: what is computed together, and what need not be computed at all.
#include "nn/plan_internal.h"

#include <math.h>
#include <stdio.h>

// A value between two ops, and its gradient. `shared`: the gradient is also that of a residual sum, so the consumer
// adds to it.
struct edge {
    struct shk_view value, grad;
    bool shared;
};

struct fuser {
    struct shk_plan *plan;
    const struct shk_model *model;
    const struct shk_layer *layer, *end; // the next layer
    struct edge at, residual;
    size_t h, w, c;                         // of the feature map
    const struct shk_layer *last_attention; // of a net whose head reads CLS alone; else NULL
    bool cls_next;                          // this half block goes on for CLS alone
};

static const struct shk_view no_view = {.buffer = -1};

static int new_buffer(struct fuser *f, size_t floats) {
    struct shk_plan *p = f->plan;
    p->buffers[p->buffer_count] = (struct shk_buffer){.per_sample = shk_round16(floats)};
    return (int)p->buffer_count++;
}

static struct shk_view new_view(struct fuser *f, size_t rows, size_t cols) {
    return (struct shk_view){new_buffer(f, rows * cols), 0, rows, cols, cols};
}

static struct shk_view new_grad(struct fuser *f, size_t rows, size_t cols) {
    return f->plan->training ? new_view(f, rows, cols) : no_view;
}

static struct edge new_edge(struct fuser *f, size_t rows, size_t cols) {
    struct edge e = {.value = new_view(f, rows, cols)};
    e.grad = new_grad(f, rows, cols);
    return e;
}

static struct shk_op *new_op(struct fuser *f, const struct shk_op_kind *kind, const char *name) {
    struct shk_op *op = &f->plan->ops[f->plan->op_count++];
    *op = (struct shk_op){.kind = kind, .in = f->at.value, .in_grad = f->at.grad, .accumulate = f->at.shared};
    op->site = f->plan->op_count;
    snprintf(op->name, sizeof op->name, "%s", name);
    return op;
}

static void goes_on(struct fuser *f, struct shk_op *op, struct edge out) {
    op->out = out.value;
    op->out_grad = out.grad;
    f->at = out;
}

static const struct shk_param *param_of(const struct fuser *f, int index) {
    return index < 0 ? NULL : &f->model->params[index];
}

static void set_params(struct fuser *f, struct shk_op *op, const int *params) {
    op->weight = param_of(f, params[0]);
    op->bias = param_of(f, params[1]);
}

static uint32_t threshold_of(const struct fuser *f, double dropout) {
    return f->plan->training ? (uint32_t)lrint(dropout * 65536) : 0;
}

static bool next_is(const struct fuser *f, enum shk_layer_kind kind) {
    return f->layer < f->end && f->layer->kind == kind;
}

// ---- CNN ----

// A padded map of h x w pixels, or flat rows of windows for a linear layer; value or gradient.
static struct shk_view map_view(struct fuser *f, size_t ld, bool padded) {
    size_t row = padded ? (f->w + 2) * ld : f->w * ld;
    if (!padded) {
        struct shk_view flat = new_view(f, 1, f->h * row);
        size_t *stride = &f->plan->buffers[flat.buffer].per_sample;
        if (*stride % 1024 == 0) *stride += 16; // samples 4 KB apart would share cache sets
        return flat;
    }
    struct shk_view v = {new_buffer(f, (f->h + 2) * row), row + ld, f->h, f->w * ld, row};
    return v;
}

static void fuse_input(struct fuser *f) {
    struct shk_op *op = new_op(f, &shk_op_input, "input");
    struct edge e = {.value = map_view(f, f->c, true), .grad = no_view};
    f->plan->buffers[e.value.buffer].kept = true;
    goes_on(f, op, e);
}

// Conv2d, ReLU and MaxPool2d: layer points behind the convolution.
static void fuse_conv(struct fuser *f, const struct shk_layer *conv) {
    bool of_image = f->plan->op_count == 1; // whose pixels are not padded
    struct shk_op *op = new_op(f, &shk_op_conv, conv->name);
    set_params(f, op, conv->params);
    f->layer += 2;
    size_t cout = shk_round16(conv->a), in_ld = of_image ? f->c : shk_round16(f->c);
    op->u.conv.h = f->h;
    op->u.conv.w = f->w;
    op->u.conv.cin = f->c;
    op->u.conv.in_ld = in_ld;
    op->u.conv.cout = cout;
    f->h /= 2;
    f->w /= 2;
    f->c = conv->a;
    op->u.conv.arg = f->plan->training ? new_buffer(f, f->h * f->w * cout / sizeof(float)) : -1;
    bool padded = next_is(f, SHK_CONV2D);
    struct edge e = {.value = map_view(f, cout, padded), .grad = no_view};
    f->plan->buffers[e.value.buffer].kept = padded;
    if (f->plan->training) e.grad = map_view(f, cout, padded);
    op->u.conv.out_px = (ptrdiff_t)cout;
    op->u.conv.out_row = (ptrdiff_t)(padded ? (f->w + 2) * cout : f->w * cout);
    goes_on(f, op, e);
}

// ---- Linear ----

static struct shk_op *linear_op(struct fuser *f, const char *name, const int params[2]) {
    struct shk_op *op = new_op(f, &shk_op_linear, name);
    set_params(f, op, params);
    op->u.linear.residual = op->u.linear.dz = no_view;
    op->u.linear.derivative = op->u.linear.mask = op->u.linear.partials = -1;
    op->u.linear.blocks = 1;
    op->u.linear.columns = op->weight->length / shk_linear_inputs(op);
    return op;
}

static void add_mask(struct fuser *f, struct shk_op *op) {
    op->u.linear.mask = new_buffer(f, (op->in.rows * op->u.linear.columns / 16 + 1) / 2);
}

// The layers behind a linear one that its op takes in: activation, dropout, residual sum.
static void fuse_followers(struct fuser *f, struct shk_op *op) {
    size_t rows = op->in.rows, cols = op->u.linear.columns;
    bool training = f->plan->training;
    if (next_is(f, SHK_RELU)) {
        op->u.linear.relu = true;
        f->layer++;
    } else if (next_is(f, SHK_GELU)) {
        op->u.linear.gelu = true;
        if (training) op->u.linear.derivative = new_buffer(f, rows * cols);
        f->layer++;
    }
    if (next_is(f, SHK_DROPOUT)) {
        op->threshold = threshold_of(f, f->layer->dropout);
        if (op->threshold) add_mask(f, op);
        f->layer++;
    }
    struct edge out = {.value = new_view(f, rows, cols)};
    if (next_is(f, SHK_ADD)) {
        op->u.linear.residual = f->residual.value;
        out.grad = f->residual.grad; // the sum's gradient is also its input's
        f->layer++;
    } else {
        out.grad = new_grad(f, rows, cols);
    }
    goes_on(f, op, out);
}

static bool covers_buffer(const struct shk_plan *p, const struct shk_view *v) {
    return p->buffers[v->buffer].per_sample < (v->rows + 1) * v->cols; // but for padding
}

// dW = X^T dY is left to the update tasks: X and dY stay until all samples are through. With a residual, out_grad goes
// on to collect the branch's gradients, so dY needs a place of its own.
static void use_batch_gradient(struct fuser *f, struct shk_op *op) {
    op->u.linear.batch_gradient = true;
    f->plan->buffers[op->in.buffer].space = SHK_BATCH;
    if (op->u.linear.residual.buffer >= 0 && op->u.linear.dz.buffer < 0)
        op->u.linear.dz = new_view(f, op->out.rows, op->out.cols);
    f->plan->buffers[shk_linear_gradient(op)->buffer].space = SHK_BATCH;
}

static void place_gradient(struct fuser *f, struct shk_op *op) {
    if (!f->plan->training) return;
    bool residual = op->u.linear.residual.buffer >= 0;
    if (residual && op->threshold) op->u.linear.dz = new_view(f, op->out.rows, op->out.cols);
    if (op->in.rows == 1 && covers_buffer(f->plan, &op->in)) use_batch_gradient(f, op);
}

// Floats of an op's gradients in a shard's buffer.
static size_t shard_floats_of(const struct shk_op *op) {
    if (!op->weight || op->kind == &shk_op_cls_attention) return 0;
    if (op->kind == &shk_op_linear && op->u.linear.batch_gradient) return 0;
    if (op->kind == &shk_op_linear) return op->u.linear.columns * (shk_linear_inputs(op) + 1);
    size_t floats = op->weight->length + op->bias->length;
    if (op->kind == &shk_op_embed && op->u.embed.cls) floats += op->u.embed.cls->length;
    if (op->kind == &shk_op_embed && op->u.embed.positions) floats += op->u.embed.positions->length;
    return floats;
}

// A gradient source per linear layer, from shapes and shards alone: the largest go to the whole batch until the shards'
// buffers fit.
static void bound_shard_buffers(struct fuser *f) {
    enum { MOST_FLOATS = 2 << 20 }; // 8 MiB, all shards together
    struct shk_plan *p = f->plan;
    for (;;) {
        size_t total = 0, largest = 0;
        struct shk_op *pick = NULL;
        for (unsigned i = 0; i < p->op_count; i++) {
            struct shk_op *op = &p->ops[i];
            size_t floats = shard_floats_of(op);
            total += floats;
            if (op->kind != &shk_op_linear || floats <= largest || !covers_buffer(p, &op->in)) continue;
            largest = floats;
            pick = op;
        }
        if (total * p->shards <= MOST_FLOATS || !pick) return;
        use_batch_gradient(f, pick);
    }
}

// One row a sample: long sums in blocks, so that a batch layer can deal them out.
static void split_sums(struct fuser *f, struct shk_op *op) {
    op->u.linear.blocks = (shk_linear_inputs(op) + SHK_BLOCK - 1) / SHK_BLOCK;
    if (op->u.linear.blocks > 1) op->u.linear.partials = new_buffer(f, op->u.linear.blocks * op->u.linear.columns);
}

// The next layer's product, which makes the gradient of a layer's output, takes it through that layer's dropout and
// activation as well. Token matrices only.
static void differentiate_before(struct fuser *f, struct shk_op *op) {
    struct shk_op *before = op - 1;
    if (!f->plan->training || op->in.rows == 1 || before->kind != &shk_op_linear) return;
    if (before->out_grad.buffer != op->in_grad.buffer || op->accumulate || before->u.linear.dz.buffer >= 0) return;
    op->u.linear.before = before;
    before->u.linear.differentiated = true;
    if (before->u.linear.relu && before->u.linear.mask < 0) add_mask(f, before);
    if (before->u.linear.gelu)
        before->out_grad.buffer = op->in_grad.buffer = before->u.linear.derivative; // in its place
}

static void fuse_linear(struct fuser *f, const char *name, const int params[2]) {
    struct shk_op *op = linear_op(f, name, params);
    if (f->plan->op_count > 1) differentiate_before(f, op);
    if (op->in.rows == 1) split_sums(f, op);
    fuse_followers(f, op);
    place_gradient(f, op);
}

// ---- ViT ----

static void fuse_embed(struct fuser *f, const struct shk_layer *embed) {
    struct shk_op *op = new_op(f, &shk_op_embed, embed->name);
    set_params(f, op, embed->params);
    size_t rows = f->h / embed->b * (f->w / embed->b);
    op->u.embed.patch = embed->b;
    op->u.embed.patches = rows;
    op->u.embed.patch_rows = new_buffer(f, rows * op->weight->row);
    f->plan->buffers[op->u.embed.patch_rows].kept = true; // its pad columns stay zero
    if (next_is(f, SHK_CLS_TOKEN)) {
        op->u.embed.cls = param_of(f, f->layer++->params[0]);
        rows++;
    }
    if (next_is(f, SHK_POSITIONS)) op->u.embed.positions = param_of(f, f->layer++->params[0]);
    goes_on(f, op, new_edge(f, rows, shk_round16(embed->a)));
}

static void fuse_norm(struct fuser *f, const struct shk_layer *norm) {
    struct shk_op *op = new_op(f, &shk_op_norm, norm->name);
    set_params(f, op, norm->params);
    op->u.norm.cols = norm->a;
    op->u.norm.stats = f->plan->training ? new_buffer(f, 2 * op->in.rows) : -1;
    goes_on(f, op, new_edge(f, op->in.rows, op->in.cols));
}

static struct shk_view row0_of(struct shk_view v) {
    v.rows = 1;
    return v;
}

// CLS alone, in place or copied; with a gradient of its own, which select_cls adds to row 0 of the tokens'.
static struct edge select_cls(struct fuser *f, bool copy) {
    struct shk_op *op = new_op(f, &shk_op_select_cls, "select cls");
    op->out = copy ? new_view(f, 1, op->in.cols) : row0_of(op->in);
    op->out_grad = new_grad(f, 1, op->out.cols);
    return (struct edge){.value = op->out, .grad = op->out_grad};
}

static void fuse_residual(struct fuser *f) {
    const struct shk_layer *next = f->layer->kind == SHK_LAYER_NORM ? f->layer + 1 : f->layer;
    f->cls_next = next == f->last_attention;
    if (f->cls_next) {
        f->residual = select_cls(f, false); // from here on it carries CLS alone
        return;
    }
    f->at.shared = true;
    f->residual = f->at;
}

// Columns from 0 on of the stacked projection, of the rows in `in`.
static struct shk_op *fuse_projection(struct fuser *f, const struct shk_layer *attention, struct shk_view in,
                                      struct shk_view in_grad, size_t columns) {
    char name[sizeof attention->name + 16];
    snprintf(name, sizeof name, "%s.in_proj", attention->name);
    struct shk_op *op = linear_op(f, name, attention->params);
    op->in = in;
    op->in_grad = in_grad;
    op->u.linear.columns = columns;
    const size_t ld = columns % 128 == 0 && in.rows > 1 ? columns + 16 : columns; // heads' rows would share cache sets
    struct edge out = new_edge(f, in.rows, ld);
    out.value.cols = columns;
    if (f->plan->training) out.grad.cols = columns;
    op->out = out.value;
    op->out_grad = out.grad;
    return op;
}

static struct shk_view columns_of(struct shk_view v, size_t column, size_t columns) {
    if (v.buffer < 0) return v;
    v.offset += column;
    v.cols = columns;
    return v;
}

static void fuse_heads(struct fuser *f, const struct shk_layer *attention) {
    size_t d = attention->b / attention->a, inner = attention->a * shk_round16(d), tokens = f->at.value.rows;
    const struct shk_op *qkv = fuse_projection(f, attention, f->at.value, f->at.grad, 3 * inner);
    struct shk_op *op = new_op(f, &shk_op_attention, attention->name);
    op->in = qkv->out;
    op->in_grad = qkv->out_grad;
    op->threshold = threshold_of(f, attention->dropout);
    op->u.attention.heads = attention->a;
    op->u.attention.d = shk_round16(d);
    op->u.attention.tokens = tokens;
    op->u.attention.scale = 1.0f / sqrtf((float)d);
    op->u.attention.q = columns_of(qkv->out, 0, inner);
    op->u.attention.q_grad = columns_of(qkv->out_grad, 0, inner);
    op->u.attention.k = columns_of(qkv->out, inner, inner);
    op->u.attention.k_grad = columns_of(qkv->out_grad, inner, inner);
    op->u.attention.v = columns_of(qkv->out, 2 * inner, inner);
    op->u.attention.v_grad = columns_of(qkv->out_grad, 2 * inner, inner);
    op->u.attention.p = new_buffer(f, attention->a * (tokens + 1) * shk_round16(tokens));
    goes_on(f, op, new_edge(f, tokens, inner));
}

// The gradients of query, key and value weights are left to the update tasks, and so what they are made of stays.
static void use_cls_batch_gradient(struct fuser *f, struct shk_op *query, const struct shk_op *attention) {
    use_batch_gradient(f, query);
    const int kept[] = {attention->u.cls_attention.q.buffer, attention->u.cls_attention.z, attention->u.cls_attention.r,
                        attention->u.cls_attention.du, attention->out_grad.buffer};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) f->plan->buffers[kept[i]].space = SHK_BATCH;
}

// For CLS alone: its query, then all the rest without keys and values.
static void fuse_cls_heads(struct fuser *f, const struct shk_layer *attention) {
    size_t heads = attention->a, d = attention->b / heads, inner = heads * shk_round16(d);
    size_t cols = f->at.value.cols;
    bool training = f->plan->training;
    struct edge cls = select_cls(f, true);
    struct shk_op *q = fuse_projection(f, attention, cls.value, cls.grad, inner);
    q->accumulate = false;
    struct shk_op *op = new_op(f, &shk_op_cls_attention, attention->name);
    set_params(f, op, attention->params);
    op->threshold = threshold_of(f, attention->dropout);
    op->u.cls_attention.heads = heads;
    op->u.cls_attention.d = shk_round16(d);
    op->u.cls_attention.scale = 1.0f / sqrtf((float)d);
    op->u.cls_attention.q = q->out;
    op->u.cls_attention.q_grad = q->out_grad;
    op->u.cls_attention.u = new_buffer(f, (training ? 2 : 1) * heads * cols);
    op->u.cls_attention.p = new_buffer(f, heads * shk_round16(op->in.rows));
    op->u.cls_attention.z = new_buffer(f, heads * cols);
    op->u.cls_attention.r = new_buffer(f, heads);
    op->u.cls_attention.du = training ? new_buffer(f, heads * cols) : -1;
    op->u.cls_attention.dr = training ? new_buffer(f, heads) : -1;
    goes_on(f, op, new_edge(f, 1, inner));
    if (training) use_cls_batch_gradient(f, q, op);
}

static void fuse_attention(struct fuser *f, const struct shk_layer *attention) {
    if (f->cls_next)
        fuse_cls_heads(f, attention);
    else
        fuse_heads(f, attention);
    char name[sizeof attention->name + 16];
    snprintf(name, sizeof name, "%s.out_proj", attention->name);
    fuse_linear(f, name, attention->params + 2);
}

static void fuse_mean(struct fuser *f) {
    struct shk_op *op = new_op(f, &shk_op_mean_tokens, "mean");
    goes_on(f, op, new_edge(f, 1, op->in.cols));
}

static void fuse_layer(struct fuser *f) {
    const struct shk_layer *l = f->layer++;
    switch (l->kind) {
    case SHK_CONV2D:
        fuse_conv(f, l);
        break;
    case SHK_LINEAR:
        fuse_linear(f, l->name, l->params);
        break;
    case SHK_PATCH_EMBED:
        fuse_embed(f, l);
        break;
    case SHK_RESIDUAL:
        fuse_residual(f);
        break;
    case SHK_ATTENTION:
        fuse_attention(f, l);
        break;
    case SHK_LAYER_NORM:
        fuse_norm(f, l);
        break;
    case SHK_MEAN_TOKENS:
        fuse_mean(f);
        break;
    case SHK_FLATTEN:    // the last map is flat already
    case SHK_SELECT_CLS: // done in the last block
    default:
        break;
    }
}

static const struct shk_layer *find_last_attention(const struct shk_model *m) {
    const struct shk_layer *last = NULL;
    bool cls = false;
    for (unsigned i = 0; i < m->layer_count; i++) {
        if (m->layers[i].kind == SHK_ATTENTION) last = &m->layers[i];
        cls = cls || m->layers[i].kind == SHK_SELECT_CLS;
    }
    return cls ? last : NULL;
}

void shk_plan_fuse(struct shk_plan *plan) {
    const struct shk_model *m = plan->model;
    struct fuser f = {.plan = plan, .model = m, .layer = m->layers, .end = m->layers + m->layer_count};
    f.h = m->shape.height;
    f.w = m->shape.width;
    f.c = m->shape.channels;
    f.at = (struct edge){.value = no_view, .grad = no_view};
    f.last_attention = find_last_attention(m);
    if (m->config.family == SHK_CNN) fuse_input(&f);
    while (f.layer < f.end) fuse_layer(&f);
    plan->logits = f.at.value;
    new_op(&f, &shk_op_cross_entropy, "cross-entropy");
    if (plan->training) bound_shard_buffers(&f);
}
