// SPDX-License-Identifier: MIT
// What is computed over the whole batch: the batch layer, and weight gradients X^T dY.
#include "nn/op.h"

#include <string.h>

enum { FORWARD_COLUMNS = 64, PANELS = SHK_LAYER_SCRATCH / (16 * SHK_TILE_ROWS) };

// Rows of a view over the batch: the first row, and floats from one to the next.
static float *rows_of(const struct shk_whole_batch *w, const struct shk_view *v, ptrdiff_t *stride) {
    const struct shk_buffer *b = &w->plan->buffers[v->buffer];
    *stride = (ptrdiff_t)(v->rows == 1 ? b->per_sample : v->ld);
    return w->batch_space + b->offset + v->offset;
}

static const struct shk_op *layer_of(const struct shk_plan *p) { return &p->ops[p->batch_layer]; }

static size_t groups_of(size_t n, size_t group) { return (n + group - 1) / group; }

size_t shk_layer_forward_tasks(const struct shk_plan *p) {
    const struct shk_op *op = layer_of(p);
    return op->u.linear.blocks * groups_of(op->u.linear.columns, FORWARD_COLUMNS);
}

size_t shk_layer_backward_tasks(const struct shk_plan *p) {
    return groups_of(shk_linear_inputs(layer_of(p)), SHK_TILE_ROWS);
}

size_t shk_layer_tiles(const struct shk_plan *p) {
    return groups_of(layer_of(p)->u.linear.columns, shk_has_tiles(layer_of(p)) ? SHK_TILE_OUTPUTS : SHK_TILE_COLUMNS);
}

// The sums over one block of inputs, for some of the columns.
void shk_layer_forward(const struct shk_whole_batch *w, size_t task) {
    const struct shk_op *op = layer_of(w->plan);
    size_t columns = op->u.linear.columns, groups = groups_of(columns, FORWARD_COLUMNS);
    size_t rows = shk_linear_inputs(op);
    size_t block = task / groups, column = task % groups * FORWARD_COLUMNS, row = block * SHK_BLOCK;
    const struct shk_buffer *partials = &w->plan->buffers[op->u.linear.partials];
    ptrdiff_t x_row;
    const float *x = rows_of(w, &op->in, &x_row);
    struct shk_gemm gemm = {.m = w->samples,
                            .n = columns - column < FORWARD_COLUMNS ? columns - column : FORWARD_COLUMNS,
                            .k = rows - row < SHK_BLOCK ? rows - row : SHK_BLOCK,
                            .a = x + row,
                            .a_row = x_row,
                            .a_col = 1,
                            .b = shk_linear_panels(op, w->weights, w->derived) + column * rows + row * 16,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)rows * 16,
                            .c = w->batch_space + partials->offset + block * columns + column,
                            .c_row = (ptrdiff_t)partials->per_sample,
                            .c_panel = 16};
    w->k->gemm(&gemm);
}

// `rows` rows of the weights and some panels of them, transposed: [rows / 16][16 * panels][16].
static void transpose(const struct shk_whole_batch *w, size_t row, size_t rows, size_t panel, size_t panels,
                      float *out) {
    const struct shk_param *p = layer_of(w->plan)->weight;
    for (size_t i = 0; i < panels; i++) {
        struct shk_transpose t = {.blocks = rows / 16,
                                  .src = w->weights + p->offset + ((panel + i) * p->row + row) * 16,
                                  .src_row = 16,
                                  .src_block = 256,
                                  .dst = out + i * 256,
                                  .dst_row = 16,
                                  .dst_block = (ptrdiff_t)panels * 256};
        w->k->transpose_panel(&t);
    }
}

// Of inputs row .. row + rows - 1 whose weights are panels of outputs.
static void dense_input_gradient(const struct shk_whole_batch *w, size_t row, size_t rows, float *scratch) {
    const struct shk_op *op = layer_of(w->plan);
    ptrdiff_t dy_row, dx_row;
    const float *dy = rows_of(w, shk_linear_gradient(op), &dy_row);
    float *dx = rows_of(w, &op->in_grad, &dx_row);
    size_t all = op->u.linear.columns / 16;
    for (size_t panel = 0, panels; panel < all; panel += panels) {
        panels = all - panel < PANELS ? all - panel : PANELS;
        transpose(w, row, rows, panel, panels, scratch);
        struct shk_gemm gemm = {.m = w->samples,
                                .n = rows,
                                .k = 16 * panels,
                                .a = dy + 16 * panel,
                                .a_row = dy_row,
                                .a_col = 1,
                                .b = scratch,
                                .b_row = 16,
                                .b_panel = (ptrdiff_t)panels * 256,
                                .c = dx + row,
                                .c_row = dx_row,
                                .c_panel = 16,
                                .accumulate = panel > 0};
        w->k->gemm(&gemm);
    }
}

void shk_layer_input_gradient(const struct shk_whole_batch *w, size_t task, float *scratch) {
    const struct shk_op *op = layer_of(w->plan);
    size_t row = task * SHK_TILE_ROWS, left = shk_linear_inputs(op) - row;
    size_t rows = left < SHK_TILE_ROWS ? left : SHK_TILE_ROWS;
    if (!shk_has_tiles(op)) {
        dense_input_gradient(w, row, rows, scratch);
        return;
    }
    ptrdiff_t dy_row, dx_row;
    const float *dy = rows_of(w, shk_linear_gradient(op), &dy_row);
    float *dx = rows_of(w, &op->in_grad, &dx_row);
    shk_tile_input_gradient(op, w->k, w->weights, task, w->samples, dy, dy_row, dx, dx_row);
}

// A block of rows of X and dY, packed so that the products of a group of X's columns run in L1: dY in panels, X in
// groups.
static void add_block(const struct shk_whole_batch *w, const struct shk_gemm *g, float *x, float *dy) {
    enum { WIDTH = 64 };
    size_t width = shk_round16(g->m / groups_of(g->m, WIDTH)), rest = g->m % width;
    struct shk_pack pack = {.rows = g->k,
                            .groups = g->n / 16,
                            .width = 16,
                            .src = g->b,
                            .src_row = g->b_row,
                            .dst = dy,
                            .dst_group = (ptrdiff_t)g->k * 16};
    w->k->pack(&pack);
    pack = (struct shk_pack){.rows = g->k,
                             .groups = g->m / width,
                             .width = width,
                             .src = g->a,
                             .src_row = g->a_col,
                             .dst = x,
                             .dst_group = (ptrdiff_t)(g->k * width)};
    w->k->pack(&pack);
    if (rest > 0) {
        pack.src += g->m - rest;
        pack.dst += g->k * (g->m - rest);
        pack.groups = 1;
        pack.width = rest;
        w->k->pack(&pack);
    }
    struct shk_gemm part = *g;
    part.b = dy;
    part.b_row = 16;
    part.b_panel = (ptrdiff_t)g->k * 16;
    for (size_t row = 0; row < g->m; row += width) {
        part.m = g->m - row < width ? g->m - row : width;
        part.a = x + g->k * row;
        part.a_col = (ptrdiff_t)part.m;
        part.c = g->c + row * 16;
        w->k->gemm(&part);
        part.sums = NULL;
    }
}

static float *buffer_of(const struct shk_whole_batch *w, int buffer) {
    return w->batch_space + w->plan->buffers[buffer].offset;
}

// Of one head of CLS's attention: keys du^T q; values z^T dout, and their bias r^T dout.
static void cls_attention_gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *tile) {
    const struct shk_op *op = u->batch_op;
    size_t d = op->u.cls_attention.d, inner = op->u.cls_attention.heads * d;
    bool bias = u->param == op->bias;
    size_t column = bias ? u->start : u->panel * 16, part = column % inner, head = part / d;
    bool values = column >= 2 * inner;
    int x = bias ? op->u.cls_attention.r : values ? op->u.cls_attention.z : op->u.cls_attention.du;
    const struct shk_view *y = values ? &op->out_grad : &op->u.cls_attention.q;
    struct shk_gemm gemm = {.m = bias ? 1 : u->length / 16,
                            .n = bias ? u->length : u->panels * 16,
                            .k = w->samples,
                            .a = buffer_of(w, x) + (bias ? head : head * op->weight->row + u->row),
                            .a_row = 1,
                            .a_col = (ptrdiff_t)w->plan->buffers[x].per_sample,
                            .b = rows_of(w, y, &(ptrdiff_t){0}) + part,
                            .b_row = (ptrdiff_t)w->plan->buffers[y->buffer].per_sample,
                            .b_panel = 16,
                            .c = tile,
                            .c_row = 16,
                            .c_panel = bias ? 16 : (ptrdiff_t)u->length};
    w->k->gemm(&gemm);
}

// Where the batch layer's dY lies transposed, which all its tiles read: [columns][round16(samples)]. NULL: too large.
static float *transposed_gradient(const struct shk_whole_batch *w, float *scratch) {
    size_t floats = layer_of(w->plan)->u.linear.columns * shk_round16(w->samples);
    return floats <= 2 * SHK_GRADIENT_SIDE * SHK_GRADIENT_DEPTH ? scratch + SHK_GRADIENT_FLOATS + SHK_GRADIENT_SIDE
                                                                : NULL;
}

void shk_layer_transpose_gradient(const struct shk_whole_batch *w, float *scratch) {
    const struct shk_op *op = layer_of(w->plan);
    size_t columns = op->u.linear.columns, row = shk_round16(w->samples), whole = w->samples / 16 * 16;
    float *out = transposed_gradient(w, scratch);
    if (!shk_has_tiles(op) || !out) return;
    ptrdiff_t dy_row;
    const float *dy = rows_of(w, shk_linear_gradient(op), &dy_row);
    for (size_t i = 0; i < whole; i += 16)
        w->k->transpose_panel(&(struct shk_transpose){.blocks = columns / 16,
                                                      .src = dy + (ptrdiff_t)i * dy_row,
                                                      .src_row = dy_row,
                                                      .src_block = 16,
                                                      .dst = out + i,
                                                      .dst_row = (ptrdiff_t)row,
                                                      .dst_block = 16 * (ptrdiff_t)row});
    for (size_t i = whole; i < w->samples; i++)
        for (size_t j = 0; j < columns; j++) out[j * row + i] = dy[(ptrdiff_t)i * dy_row + (ptrdiff_t)j];
}

void shk_batch_update(const struct shk_whole_batch *w, const struct shk_update *u, const struct shk_adam *adam,
                      float *scratch) {
    const struct shk_op *op = u->batch_op;
    size_t width = shk_tile_width(u->param, u->panel);
    ptrdiff_t dy_row;
    const float *dy = rows_of(w, shk_linear_gradient(op), &dy_row) + u->row;
    struct shk_sparse_gemm gemm = {.m = u->length / width,
                                   .n = width,
                                   .k = w->samples,
                                   .a = dy,
                                   .a_row = 1,
                                   .a_col = dy_row,
                                   .c = scratch,
                                   .c_row = (ptrdiff_t)width,
                                   .adam = adam};
    gemm.b = rows_of(w, &op->in, &gemm.b_row) + u->panel * SHK_INPUT_TILE;
    if (shk_is_batch_layer(w->plan, op) && transposed_gradient(w, scratch)) {
        gemm.a_row = (ptrdiff_t)shk_round16(w->samples);
        gemm.a_col = 1;
        gemm.a = transposed_gradient(w, scratch) + (ptrdiff_t)u->row * gemm.a_row;
    }
    if (u->bias)
        w->k->column_sum(&(struct shk_column_sum){
            .rows = gemm.k, .cols = gemm.m, .x = dy, .row = dy_row, .sum = scratch + SHK_GRADIENT_FLOATS});
    w->k->sparse_gemm(&gemm);
}

// Block after block of rows, each chain going on in the tile.
void shk_batch_gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *scratch) {
    const struct shk_op *op = u->batch_op;
    if (op->kind == &shk_op_cls_attention) {
        cls_attention_gradient(w, u, scratch);
        return;
    }
    if (shk_has_tiles(op)) {
        shk_batch_update(w, u, NULL, scratch);
        return;
    }
    ptrdiff_t dy_row, x_row;
    const float *dy = rows_of(w, shk_linear_gradient(op), &dy_row), *x = rows_of(w, &op->in, &x_row);
    float *bias = scratch + SHK_GRADIENT_FLOATS, *x_block = bias + SHK_GRADIENT_SIDE;
    struct shk_gemm gemm = {.m = u->length / 16,
                            .n = u->panels * 16,
                            .a = x + u->row,
                            .a_row = 1,
                            .a_col = x_row,
                            .b = dy + u->panel * 16,
                            .b_row = dy_row,
                            .b_panel = 16,
                            .c = scratch,
                            .c_row = 16,
                            .c_panel = (ptrdiff_t)u->length,
                            .sums = u->bias ? bias : NULL};
    if (u->bias) memset(bias, 0, gemm.n * sizeof *bias);
    size_t rows = w->samples * op->in.rows, blocks = groups_of(rows, SHK_GRADIENT_DEPTH);
    for (size_t i = 0; i < blocks; i++) {
        gemm.k = rows / blocks + (i < rows % blocks);
        gemm.accumulate = i > 0;
        if (blocks == 1)
            w->k->gemm(&gemm);
        else
            add_block(w, &gemm, x_block, x_block + SHK_GRADIENT_SIDE * SHK_GRADIENT_DEPTH);
        gemm.a += (ptrdiff_t)gemm.k * x_row;
        gemm.b += (ptrdiff_t)gemm.k * dy_row;
    }
}
