// SPDX-License-Identifier: MIT
// The linear op computes a linear layer with what follows it: activation, dropout, residual sum.
#include "nn/ops/linear.h"

#include "nn/ops/attention.h"
#include <string.h>

// ---- Forward: out = residual + dropout(act(z)), z = x W^T + bias

// Whether the product takes in dropout and the residual sum.
static bool finishes_at_once(const struct shk_linear *l) { return !l->gelu && l->blocks == 1; }

static uint16_t *mask_of(const struct shk_linear *l, const struct shk_slice *s) {
    return l->mask < 0 ? NULL : (uint16_t *)shk_buffer_at(s, l->mask);
}

static float scale_of(const struct shk_linear *l) { return shk_dropout_scale(l->drops.threshold); }

static void draw_mask(const struct shk_linear *l, const struct shk_slice *s) {
    size_t cells = l->op.out.rows * l->op.out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout_mask draw = {cells, mask_of(l, s) + i * cells / 16, shk_dropout_of(&l->drops, s, i), 0};
        s->k->dropout_mask(&draw);
    }
}

// The rows of a slice times the weights, in one chain from the bias.
static void product(const struct shk_linear *l, const struct shk_slice *s) {
    size_t k = shk_readers_of(l);
    struct shk_gemm gemm = {.m = shk_row_count(s, &l->op.in),
                            .n = l->columns,
                            .k = k,
                            .a = shk_rows_at(s, &l->op.in),
                            .a_row = shk_row_stride(s, &l->op.in),
                            .a_col = 1,
                            .b = shk_panels_of(l, s->weights, s->derived),
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)k * 16,
                            .c = shk_rows_at(s, &l->op.out),
                            .c_row = shk_row_stride(s, &l->op.out),
                            .c_panel = 16,
                            .bias = s->weights + l->op.bias->offset,
                            .relu = l->relu};
    if (finishes_at_once(l)) {
        gemm.keep = l->drops.threshold ? mask_of(l, s) : NULL;
        gemm.scale = scale_of(l);
        gemm.alive = l->relu && l->taken_by_next ? mask_of(l, s) : NULL;
        gemm.keep_row = (ptrdiff_t)(l->op.out.cols / 16);
        if (l->residual.buffer >= 0) {
            gemm.addend = shk_rows_at(s, &l->residual);
            gemm.addend_row = shk_row_stride(s, &l->residual);
            gemm.addend_panel = 16;
        }
    }
    s->k->gemm(&gemm);
}

static void sum_block(const struct shk_linear *l, const struct shk_slice *s, size_t block, float *sums,
                      ptrdiff_t stride) {
    size_t inputs = shk_readers_of(l), row = block * SHK_BLOCK, left = inputs - row;
    struct shk_gemm gemm = {.m = s->samples,
                            .n = l->columns,
                            .k = left < SHK_BLOCK ? left : SHK_BLOCK,
                            .a = shk_rows_at(s, &l->op.in) + row,
                            .a_row = shk_row_stride(s, &l->op.in),
                            .a_col = 1,
                            .b = shk_panels_of(l, s->weights, s->derived) + row * 16,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)inputs * 16,
                            .c = sums,
                            .c_row = stride,
                            .c_panel = 16};
    s->k->gemm(&gemm);
}

// One row a sample: the bias, then the sums over each block of inputs. Those of dealt-out work are there already.
static void blocked_product(const struct shk_linear *l, const struct shk_slice *s) {
    size_t columns = l->columns, stride = s->plan->buffers[l->partials].per_sample;
    float *partials = shk_buffer_at(s, l->partials), *out = shk_rows_at(s, &l->op.out);
    for (size_t b = 0; b < l->blocks && !l->op.dealt; b++)
        sum_block(l, s, b, partials + b * columns, (ptrdiff_t)stride);
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_column_sum sum = {.rows = l->blocks,
                                     .cols = columns,
                                     .x = partials + i * stride,
                                     .row = (ptrdiff_t)columns,
                                     .start = s->weights + l->op.bias->offset,
                                     .sum = out + i * shk_sample_stride(s, &l->op.out),
                                     .relu = l->relu};
        s->k->column_sum(&sum);
    }
}

// Dropout and the residual sum where the product did not take them in.
static void finish(const struct shk_linear *l, const struct shk_slice *s) {
    const struct shk_view *r = &l->residual;
    const uint16_t *mask = mask_of(l, s);
    if (!mask && r->buffer < 0) return;
    float *out = shk_rows_at(s, &l->op.out);
    size_t cells = l->op.out.rows * l->op.out.cols;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout d = {.rows = l->op.out.rows, .cols = l->op.out.cols, .scale = scale_of(l)};
        d.x = d.y = out + i * shk_sample_stride(s, &l->op.out);
        d.x_row = d.y_row = (ptrdiff_t)l->op.out.ld;
        if (r->buffer >= 0) {
            d.residual = shk_rows_at(s, r) + i * shk_sample_stride(s, r);
            d.residual_row = (ptrdiff_t)r->ld;
        }
        if (mask) d.mask = mask + i * cells / 16;
        s->k->dropout_forward(&d);
    }
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_linear *l = shk_linear_of(op);
    if (l->drops.threshold) draw_mask(l, s);
    if (l->blocks > 1)
        blocked_product(l, s);
    else
        product(l, s);
    if (l->gelu) {
        int derivative = l->derivative;
        float *out = shk_rows_at(s, &l->op.out);
        struct shk_gelu gelu = {shk_row_count(s, &l->op.in) * l->op.out.cols, out, out,
                                derivative >= 0 ? shk_buffer_at(s, derivative) : NULL};
        s->k->gelu_forward(&gelu);
    }
    if (!finishes_at_once(l)) finish(l, s);
}

// ---- Backward

// The gradient of the linear output: out = residual + dropout(act(z)); returns dz.
static float *output_gradient(const struct shk_linear *l, const struct shk_slice *s) {
    float *dy = shk_rows_at(s, &l->op.out_grad), *dz = dy;
    if (l->taken_by_next) return dz;
    ptrdiff_t ld = (ptrdiff_t)l->op.out.ld;
    size_t n = s->samples * l->op.out.rows * l->op.out.cols, cells = l->op.out.rows * l->op.out.cols;
    const uint16_t *mask = mask_of(l, s);
    bool copy = l->dz.buffer >= 0;
    bool at_once = mask && l->relu && !copy; // what was dropped is 0, as what the ReLU has stopped
    if (copy) dz = shk_rows_at(s, &l->dz);
    if (copy || (mask && !at_once)) {
        for (size_t i = 0; i < s->samples; i++) {
            struct shk_dropout d = {.rows = l->op.out.rows, .cols = l->op.out.cols, .scale = scale_of(l)};
            d.dy = dy + i * shk_sample_stride(s, &l->op.out_grad);
            d.dx = dz + i * cells;
            d.dy_row = d.dx_row = ld;
            if (mask) d.mask = mask + i * cells / 16;
            s->k->dropout_backward(&d);
        }
    }
    if (l->relu) {
        float scale = at_once ? scale_of(l) : 1;
        s->k->relu_backward(&(struct shk_relu_backward){n, shk_rows_at(s, &l->op.out), dz, dz, scale});
    }
    if (l->gelu) s->k->multiply(&(struct shk_multiply){n, dz, shk_buffer_at(s, l->derivative), dz});
    return dz;
}

// The input gradient is taken through dropout and activation of the layer before.
static void through_producer(const struct shk_linear *producer, const struct shk_slice *s, struct shk_gemm *gemm) {
    gemm->keep = mask_of(producer, s);
    gemm->keep_row = (ptrdiff_t)(producer->op.out.cols / 16);
    gemm->scale = scale_of(producer);
    if (producer->gelu) {
        gemm->factor = shk_buffer_at(s, producer->derivative);
        gemm->factor_row = (ptrdiff_t)producer->op.out.cols;
    }
}

static ptrdiff_t dz_stride(const struct shk_linear *l, const struct shk_slice *s) {
    return shk_row_stride(s, shk_product_gradient(l));
}

void shk_tile_input_gradient(const struct shk_linear *l, const struct shk_kernels *k, const float *weights, size_t tile,
                             size_t rows, const float *dy, ptrdiff_t dy_row, float *dx, ptrdiff_t dx_row) {
    const struct shk_param *w = l->op.weight;
    size_t width = shk_tile_width(w, tile), first = tile * SHK_INPUT_TILE;
    struct shk_sparse_gemm gemm = {.m = rows,
                                   .n = width,
                                   .k = l->columns,
                                   .a = dy,
                                   .a_row = dy_row,
                                   .a_col = 1,
                                   .b = weights + w->offset + first * w->ld,
                                   .b_row = (ptrdiff_t)width,
                                   .c = dx + first,
                                   .c_row = dx_row};
    k->sparse_gemm(&gemm);
}

// Row by row: what a slice's rows are must not decide which of them are a pair.
static void sparse_input_gradient(const struct shk_linear *l, const struct shk_slice *s, const float *dz) {
    ptrdiff_t dy_row = dz_stride(l, s), dx_row = shk_row_stride(s, &l->op.in_grad);
    float *dx = shk_rows_at(s, &l->op.in_grad);
    for (size_t tile = 0; tile < shk_param_panels(l->op.weight); tile++)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)s->samples; i++)
            shk_tile_input_gradient(l, s->k, s->weights, tile, 1, dz + i * dy_row, dy_row, dx + i * dx_row, dx_row);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_linear *l = shk_linear_of(op);
    const struct shk_param *w = l->op.weight;
    const float *dz = output_gradient(l, s);
    if (op->dealt || op->in_grad.buffer < 0) return; // the rest takes the whole batch; an image wants none
    if (shk_has_tiles(l)) {
        sparse_input_gradient(l, s, dz);
        return;
    }
    struct shk_gemm gemm = {.m = shk_row_count(s, &l->op.in),
                            .n = w->ld,
                            .k = l->columns,
                            .a = dz,
                            .a_row = dz_stride(l, s),
                            .a_col = 1,
                            .b = s->derived + w->derived_offset,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)(w->length / w->ld) * 16,
                            .c = shk_rows_at(s, &l->op.in_grad),
                            .c_row = shk_row_stride(s, &l->op.in_grad),
                            .c_panel = 16,
                            .accumulate = l->op.accumulate};
    if (l->producer) through_producer(l->producer, s, &gemm);
    s->k->gemm(&gemm);
}

// dW += X^T dY, db += sum of dY, over the rows of each shard; dY is what input_gradient left.
static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_linear *l = shk_linear_of(op);
    if (l->batch_gradient) return; // an update task
    size_t rows = l->op.in.rows, columns = l->columns, k = shk_readers_of(l);
    const bool few = rows <= SHK_TOKENS_OF_A_CHAIN;
    const float *dz = shk_rows_at(s, shk_product_gradient(l));
    ptrdiff_t in_row = shk_row_stride(s, &l->op.in), dz_row = dz_stride(l, s);
    SHK_EACH_SEGMENT(s, g) {
        const float *dy = dz + (ptrdiff_t)(g->start * rows) * dz_row;
        float *db = g->own + l->op.bias_grad;
        if (g->first) memset(db, 0, columns * sizeof *db);
        struct shk_gemm gemm = {.m = k,
                                .n = columns,
                                .k = g->samples * rows,
                                .a = shk_rows_at(s, &l->op.in) + (ptrdiff_t)(g->start * rows) * in_row,
                                .a_row = 1,
                                .a_col = in_row,
                                .b = dy,
                                .b_row = dz_row,
                                .b_panel = 16,
                                .c = g->sums + l->op.weight_grad,
                                .c_row = 16,
                                .c_panel = (ptrdiff_t)k * 16,
                                .accumulate = !g->first,
                                .addend = g->append ? g->sums + l->op.weight_grad : NULL,
                                .addend_row = 16,
                                .addend_panel = (ptrdiff_t)k * 16,
                                .sums = few ? db : NULL};
        s->k->gemm(&gemm);
        for (size_t i = 0; i < g->samples && !few; i++)
            shk_add_bias_gradient(s->k, dy + (ptrdiff_t)(i * rows) * dz_row, dz_row, rows, columns, db);
        shk_segment_add(s, g, l->op.bias_grad, columns);
    }
}

// ---- In the plan

static void derive_transposed(const struct shk_param *p, const float *w, float *derived, size_t panel, size_t row,
                              size_t rows, const struct shk_kernels *k) {
    const size_t outputs = p->length / p->ld;
    k->transpose(&(struct shk_transpose){.blocks = rows / 16,
                                         .src = w + (panel * p->ld + row) * 16,
                                         .src_row = 16,
                                         .src_block = 256,
                                         .dst = derived + row * outputs + panel * 256,
                                         .dst_row = 16,
                                         .dst_block = (ptrdiff_t)outputs * 16});
}

static void derive_panels(const struct shk_param *p, const float *w, float *derived, size_t tile, size_t row,
                          size_t rows, const struct shk_kernels *k) {
    const size_t width = shk_tile_width(p, tile), inputs = p->length / p->ld, first = tile * SHK_INPUT_TILE;
    for (size_t i = 0; i < width; i += 16)
        k->transpose(&(struct shk_transpose){.blocks = rows / 16,
                                             .src = w + first * p->ld + row * width + i,
                                             .src_row = (ptrdiff_t)width,
                                             .src_block = 16 * (ptrdiff_t)width,
                                             .dst = derived + row * inputs + (first + i) * 16,
                                             .dst_row = 16,
                                             .dst_block = (ptrdiff_t)inputs * 16});
}

// Of panels [K][N]: panels [N][K], for the input gradient. Of tiles: panels [K][N], for the forward pass.
const struct shk_packing shk_transposed = {derive_transposed};
static const struct shk_packing panels = {derive_panels};

void shk_linear_lay_out(struct shk_lowering *f, const struct shk_layer *l, struct shk_axis out, size_t out_padded,
                        struct shk_axis in, size_t in_padded) {
    const struct shk_param_form p = {
        SHK_PANELS, out, in, in_padded, out_padded, &shk_transposed, in_padded * out_padded};
    shk_lay_out(f, l->params[0], &p);
    shk_lay_out_vector(f, l->params[1], out, out_padded);
}

static void place_tiles(struct shk_lowering *f, const struct shk_layer *l, struct shk_axis out, size_t out_padded,
                        struct shk_axis in, size_t in_padded) {
    const struct shk_param_form p = {SHK_INPUT_TILES, out, in, out_padded, in_padded, &panels, in_padded * out_padded};
    shk_lay_out(f, l->params[0], &p);
    shk_lay_out_vector(f, l->params[1], out, out_padded);
}

struct shk_linear *shk_linear_new(struct shk_lowering *f, const struct shk_layer *layer, const struct shk_value *in,
                                  size_t columns) {
    struct shk_linear *l = shk_op_new(f, &shk_op_linear, layer->name, in);
    if (!l) return NULL;
    l->op.weight = &f->plan->model->params[layer->params[0]];
    l->op.bias = &f->plan->model->params[layer->params[1]];
    l->residual = l->dz = shk_no_view;
    l->derivative = l->mask = l->partials = -1;
    l->blocks = 1;
    l->columns = columns;
    return l;
}

// ---- What the op takes in

static void add_mask(struct shk_plan *p, struct shk_linear *l) {
    l->mask = shk_buffer_new(p, (l->op.in.rows * l->columns / 16 + 1) / 2);
}

// One row a sample: long sums in blocks, so that they can be dealt out.
static void split_sums(struct shk_plan *p, struct shk_linear *l) {
    l->blocks = (shk_readers_of(l) + SHK_BLOCK - 1) / SHK_BLOCK;
    if (l->blocks > 1) l->partials = shk_buffer_new(p, l->blocks * l->columns);
}

// The next layer's product, which makes the gradient of a layer's output, takes it through that layer's dropout and
// activation as well, unless others add to that gradient. Token matrices only.
static void take_producer(struct shk_lowering *f, struct shk_linear *l, const struct shk_op *producer) {
    struct shk_plan *p = f->plan;
    if (!p->training || l->op.in.rows == 1 || producer->type != &shk_op_linear) return;
    if (shk_graph_consumer(f->graph, shk_layer_at(f, f->at)->in[0]) != f->at) return;
    struct shk_linear *before = (struct shk_linear *)p->ops[producer->index];
    if (before->op.out_grad.buffer != l->op.in_grad.buffer || before->dz.buffer >= 0) return;
    l->producer = before;
    before->taken_by_next = true;
    if (before->relu && before->mask < 0) add_mask(p, before);
    if (before->gelu) before->op.out_grad.buffer = l->op.in_grad.buffer = before->derivative; // in its place
}

static int take_activation(struct shk_lowering *f, struct shk_linear *l, int at) {
    const int relu = shk_follower(f, at, SHK_RELU), gelu = shk_follower(f, at, SHK_GELU);
    l->relu = relu >= 0;
    l->gelu = gelu >= 0;
    if (l->gelu && f->plan->training) l->derivative = shk_buffer_new(f->plan, l->op.in.rows * l->columns);
    return l->relu ? relu : l->gelu ? gelu : at;
}

static int take_dropout(struct shk_lowering *f, struct shk_linear *l, int at) {
    const int dropout = shk_follower(f, at, SHK_DROPOUT);
    if (dropout < 0) return at;
    l->drops = shk_drops_of(f, shk_layer_at(f, dropout), shk_layer_at(f, dropout)->dropout.p);
    if (l->drops.threshold) add_mask(f->plan, l);
    return dropout;
}

// Whether nobody else who reads a layer comes behind `from` but the sum: then the gradient of the sum is also that of the
// layer, to which the others add.
static bool read_last_by(const struct shk_lowering *f, int layer, int from, int sum) {
    if (shk_graph_last_consumer(f->graph, layer) != sum) return false;
    for (int c = from + 1; c < sum; c++)
        if (f->graph->layers[c].in[0] == layer || f->graph->layers[c].in[1] == layer) return false;
    return true;
}

// A residual sum with a value of the same layout that is there already.
static int take_sum(struct shk_lowering *f, struct shk_linear *l, int at, struct shk_axis axis) {
    const int sum = shk_follower(f, at, SHK_ADD);
    if (sum < 0 || l->relu) return at; // the ReLU's gradient looks at the op's output
    const struct shk_layer *add = shk_layer_at(f, sum);
    const int other = add->in[0] == at ? add->in[1] : add->in[0];
    const struct shk_value *residual = &f->values[other];
    if (other == at || !residual->op || !shk_axis_equal(&residual->axis, &axis) || !read_last_by(f, other, f->at, sum))
        return at;
    l->residual = residual->value;
    l->op.out_grad = residual->grad;
    return sum;
}

// The layers behind a linear one that its op takes in. Returns the last of them.
static int take_followers(struct shk_lowering *f, struct shk_linear *l, struct shk_axis axis) {
    int layers[4] = {f->at};
    layers[1] = take_activation(f, l, layers[0]);
    layers[2] = take_dropout(f, l, layers[1]);
    l->op.out = shk_view_new(f->plan, l->op.in.rows, l->columns);
    layers[3] = take_sum(f, l, layers[2], axis);
    if (l->residual.buffer < 0) l->op.out_grad = shk_grad_new(f->plan, l->op.in.rows, l->columns);
    for (int i = 0; i < 4; i++) shk_takes(f, layers[i]);
    return layers[3];
}

static bool covers_buffer(const struct shk_plan *p, const struct shk_view *v) {
    return p->buffers[v->buffer].per_sample < (v->rows + 1) * v->cols; // but for padding
}

// With a residual, out_grad goes on to collect the branch's gradients, so dY needs a place of its own.
void shk_linear_use_batch(struct shk_linear *l, struct shk_plan *p) {
    l->batch_gradient = true;
    p->buffers[l->op.in.buffer].space = SHK_BATCH;
    if (l->residual.buffer >= 0 && l->dz.buffer < 0) l->dz = shk_view_new(p, l->op.out.rows, l->op.out.cols);
    p->buffers[shk_product_gradient(l)->buffer].space = SHK_BATCH;
}

static void place_gradient(struct shk_plan *p, struct shk_linear *l) {
    if (!p->training) return;
    const bool residual = l->residual.buffer >= 0, in_place = l->op.out_grad.buffer == l->op.in_grad.buffer;
    if (residual && (l->gelu || l->drops.threshold || in_place))
        l->dz = shk_view_new(p, l->op.out.rows, l->op.out.cols);
    if (l->op.in.rows == 1 && covers_buffer(p, &l->op.in)) shk_linear_use_batch(l, p);
}

// Queries, keys and values of all heads; in rows that do not share sets of a cache.
static bool match_heads(struct shk_lowering *f, const struct shk_layer *layer, const struct shk_layer *attention) {
    const struct shk_value in = *shk_input_of(f);
    const size_t heads = attention->attention.heads, dim = layer->out.c / 3;
    const size_t columns = 3 * shk_heads_columns(heads, dim);
    const struct shk_axis axis = shk_stacked_axis(heads, dim);
    shk_linear_lay_out(f, layer, axis, columns, in.axis, in.value.cols);
    struct shk_linear *l = shk_linear_new(f, layer, &in, columns);
    if (!l) return false;
    const size_t ld = columns % 128 == 0 && in.value.rows > 1 ? columns + 16 : columns;
    l->op.out = shk_view_new(f->plan, in.value.rows, ld);
    l->op.out_grad = shk_grad_new(f->plan, in.value.rows, ld);
    l->op.out.cols = columns;
    if (f->plan->training) l->op.out_grad.cols = columns;
    shk_gives(f, f->at, &l->op, axis);
    return true;
}

static bool match(struct shk_lowering *f) {
    const struct shk_layer *layer = shk_layer_at(f, f->at);
    if (layer->kind != SHK_LINEAR) return false;
    const int heads = shk_follower(f, f->at, SHK_ATTENTION);
    if (heads >= 0) return match_heads(f, layer, shk_layer_at(f, heads));
    const struct shk_value in = *shk_input_of(f);
    const struct shk_axis axis = shk_axis1(layer->out.c);
    const size_t columns = shk_round16(layer->out.c);
    const bool sparse = shk_layer_is(f, layer->in[0], SHK_FLATTEN) && shk_follower(f, f->at, SHK_RELU) >= 0 &&
                        shk_reads_last(f); // whose input gradient is not added to others
    (sparse ? place_tiles : shk_linear_lay_out)(f, layer, axis, columns, in.axis, in.value.cols);
    struct shk_linear *l = shk_linear_new(f, layer, &in, columns);
    if (!l) return false;
    if (in.op->type == &shk_op_input && shk_graph_consumer(f->graph, layer->in[0]) == f->at)
        l->op.in_grad = shk_no_view;
    take_producer(f, l, in.op);
    if (l->op.in.rows == 1) split_sums(f->plan, l);
    const int last = take_followers(f, l, axis);
    place_gradient(f->plan, l);
    shk_gives(f, last, &l->op, axis);
    return true;
}

// ---- What the plan asks

static void declare(struct shk_op *op) {
    const struct shk_linear *l = shk_linear_of(op);
    const unsigned later = l->batch_gradient ? SHK_READS_TASKS : SHK_READS_BACKWARD;
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | later);
    shk_op_uses(op, op->out.buffer, SHK_READS_FORWARD | SHK_WRITES_FORWARD | (l->relu ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_BACKWARD | (op->accumulate ? SHK_READS_BACKWARD : 0));
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD | (l->dz.buffer < 0 ? later : 0));
    shk_op_uses(op, l->dz.buffer, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD | later);
    shk_op_uses(op, l->residual.buffer, SHK_READS_FORWARD);
    shk_op_uses(op, l->partials, SHK_READS_FORWARD | SHK_WRITES_FORWARD);
    shk_op_uses(op, l->mask, SHK_READS_FORWARD | SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
    shk_op_uses(op, l->derivative, SHK_WRITES_FORWARD | SHK_READS_BACKWARD);
    if (!l->producer) return;
    shk_op_uses(op, l->producer->derivative, SHK_READS_BACKWARD);
    shk_op_uses(op, l->producer->mask, SHK_READS_BACKWARD);
}

static double flops(const struct shk_op *op, enum shk_phase phase) {
    const struct shk_linear *l = shk_linear_of(op);
    if (phase == SHK_WEIGHT_GRADIENT && l->batch_gradient && !op->dealt) return 0; // an update task
    if (phase == SHK_INPUT_GRADIENT && op->in_grad.buffer < 0) return 0;           // of an image
    return 2.0 * (double)(op->in.rows * l->columns) * (double)shk_readers_of(l);
}

static size_t weight_floats(const struct shk_linear *l) { return l->columns * shk_readers_of(l); }

static size_t shard_floats(const struct shk_op *op) {
    const struct shk_linear *l = shk_linear_of(op);
    return l->batch_gradient ? 0 : weight_floats(l) + l->columns;
}

static size_t batch_floats(const struct shk_op *op) {
    const struct shk_linear *l = shk_linear_of(op);
    return l->batch_gradient ? weight_floats(l) : 0;
}

static double batch_flops(const struct shk_op *op) { return 2.0 * (double)op->out.rows * (double)batch_floats(op); }

static bool leave_shards(struct shk_op *op, struct shk_plan *p) {
    if (shk_linear_of(op)->batch_gradient || !covers_buffer(p, &op->in)) return false;
    shk_linear_use_batch((struct shk_linear *)op, p);
    return true;
}

static void updates(struct shk_op *op, struct shk_update_list *list) {
    const struct shk_linear *l = shk_linear_of(op);
    if (l->batch_gradient) {
        shk_linear_batch_updates(l, list);
        return;
    }
    op->weight_grad = shk_updates_from_shards(list, op, op->weight, weight_floats(l));
    op->bias_grad = shk_updates_from_shards(list, op, op->bias, l->columns);
}

static bool applies_at_once(const struct shk_update *u) { return u->param->layout == SHK_INPUT_TILES; }

// Where the weights are worth more than what then has to be kept for all samples.
static bool deal_out(struct shk_op *op, struct shk_plan *p, size_t kept) {
    enum { LEAST_WEIGHTS = 65536, MOST_KEPT = 16 }; // floats; times as much as the weights
    const struct shk_linear *l = shk_linear_of(op);
    if (!l->batch_gradient || l->partials < 0 || op->accumulate || op->weight->length < LEAST_WEIGHTS ||
        kept > MOST_KEPT * op->weight->length / p->batch)
        return false;
    p->buffers[l->partials].space = SHK_BATCH;
    return true;
}

const struct shk_op_type shk_op_linear = {
    .name = "linear",
    .size = sizeof(struct shk_linear),
    .match = match,
    .declare = declare,
    .run = {forward, input_gradient, weight_gradient},
    .flops = flops,
    .updates = updates,
    .shard_floats = shard_floats,
    .batch_floats = batch_floats,
    .batch_flops = batch_flops,
    .leave_shards = leave_shards,
    .gradient = shk_linear_gradient,
    .applies_at_once = applies_at_once,
    .gradient_and_rule = shk_linear_gradient_and_rule,
    .deal_out = deal_out,
    .tasks = shk_linear_tasks,
    .task_updates = shk_linear_task_updates,
    .begin_tasks = shk_linear_begin_tasks,
    .task = {shk_linear_task_forward, shk_linear_task_input_gradient},
};
