// SPDX-License-Identifier: MIT
// What a linear layer computes over the whole batch: weight gradients X^T dY, tile by tile, in the update tasks; and where
// its weights are large, all of it.
//
// A hidden layer behind a flattened map may deal out its weights to the workers instead of samples (Krizhevsky, One weird
// trick for parallelizing convolutional neural networks, 2014): activations travel between the workers, and each weight
// stays with one of them. Behind its ReLU nearly half of the gradients are zero; they are left out, for which the weights lie
// in tiles of inputs.
#include "nn/ops/linear.h"

#include <string.h>

// Rows (inputs) and columns of the largest tile of the weight gradient of a layer that deals out its work; a task of its
// backward pass has as many rows.
enum { TILE_ROWS = SHK_INPUT_TILE, TILE_COLUMNS = SHK_TILE_FLOATS / TILE_ROWS };
enum { TILE_OUTPUTS = SHK_GRADIENT_BIAS }; // rows of an SHK_INPUT_TILE that are updated together
enum { FORWARD_COLUMNS = 64, PANELS = 2 * SHK_TILE_FLOATS / (16 * TILE_ROWS) };

static size_t groups_of(size_t n, size_t group) { return (n + group - 1) / group; }

// ---- Dealt out, forward

// The sums over one block of inputs, for some of the columns.
void shk_linear_task_forward(const struct shk_op *op, const struct shk_whole_batch *w, size_t task, float *scratch) {
    (void)scratch;
    const struct shk_linear *l = shk_linear_of(op);
    size_t columns = l->columns, groups = groups_of(columns, FORWARD_COLUMNS);
    size_t rows = shk_readers_of(l);
    size_t block = task / groups, column = task % groups * FORWARD_COLUMNS, row = block * SHK_BLOCK;
    const struct shk_buffer *partials = &w->plan->buffers[l->partials];
    ptrdiff_t x_row;
    const float *x = shk_batch_rows(w, &l->op.in, &x_row);
    struct shk_gemm gemm = {.m = w->samples,
                            .n = columns - column < FORWARD_COLUMNS ? columns - column : FORWARD_COLUMNS,
                            .k = rows - row < SHK_BLOCK ? rows - row : SHK_BLOCK,
                            .a = x + row,
                            .a_row = x_row,
                            .a_col = 1,
                            .b = shk_panels_of(l, w->weights, w->derived) + column * rows + row * 16,
                            .b_row = 16,
                            .b_panel = (ptrdiff_t)rows * 16,
                            .c = w->batch_space + partials->offset + w->first * partials->per_sample + block * columns +
                                 column,
                            .c_row = (ptrdiff_t)partials->per_sample,
                            .c_panel = 16};
    w->k->gemm(&gemm);
}

// ---- Dealt out, backward: task t is about rows TILE_ROWS * t on of the weights

// `rows` rows of the weights and some panels of them, transposed: [rows / 16][16 * panels][16].
static void transpose(const struct shk_linear *l, const struct shk_whole_batch *w, size_t row, size_t rows,
                      size_t panel, size_t panels, float *out) {
    const struct shk_param *p = l->op.weight;
    for (size_t i = 0; i < panels; i++) {
        struct shk_transpose t = {.blocks = rows / 16,
                                  .src = w->weights + p->offset + ((panel + i) * p->ld + row) * 16,
                                  .src_row = 16,
                                  .src_block = 256,
                                  .dst = out + i * 256,
                                  .dst_row = 16,
                                  .dst_block = (ptrdiff_t)panels * 256};
        w->k->transpose(&t);
    }
}

// Of inputs row .. row + rows - 1 whose weights are panels of outputs.
static void dense_input_gradient(const struct shk_linear *l, const struct shk_whole_batch *w, size_t row, size_t rows,
                                 float *scratch) {
    ptrdiff_t dy_row, dx_row;
    const float *dy = shk_batch_rows(w, shk_product_gradient(l), &dy_row);
    float *dx = shk_batch_rows(w, &l->op.in_grad, &dx_row);
    size_t all = l->columns / 16;
    for (size_t panel = 0, panels; panel < all; panel += panels) {
        panels = all - panel < PANELS ? all - panel : PANELS;
        transpose(l, w, row, rows, panel, panels, scratch);
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

void shk_linear_task_input_gradient(const struct shk_op *op, const struct shk_whole_batch *w, size_t task,
                                    float *scratch) {
    const struct shk_linear *l = shk_linear_of(op);
    if (op->in_grad.buffer < 0) return; // of an image
    size_t row = task * TILE_ROWS, left = shk_readers_of(l) - row;
    size_t rows = left < TILE_ROWS ? left : TILE_ROWS;
    if (!shk_has_tiles(l)) {
        dense_input_gradient(l, w, row, rows, scratch);
        return;
    }
    ptrdiff_t dy_row, dx_row;
    const float *dy = shk_batch_rows(w, shk_product_gradient(l), &dy_row);
    float *dx = shk_batch_rows(w, &l->op.in_grad, &dx_row);
    shk_tile_input_gradient(l, w->k, w->weights, task, w->samples, dy, dy_row, dx, dx_row);
}

// Where the dY of dealt-out work lies transposed, which all its tiles read: [columns][round16(samples)]. NULL: too large.
static float *transposed_gradient(const struct shk_linear *l, const struct shk_whole_batch *w, float *scratch) {
    size_t floats = l->columns * shk_round16(w->samples);
    return floats <= 2 * SHK_GRADIENT_SIDE * SHK_GRADIENT_DEPTH ? scratch + SHK_GRADIENT_FLOATS + SHK_GRADIENT_BIAS
                                                                : NULL;
}

void shk_linear_begin_tasks(const struct shk_op *op, const struct shk_whole_batch *w, float *scratch) {
    const struct shk_linear *l = shk_linear_of(op);
    size_t columns = l->columns, row = shk_round16(w->samples), whole = w->samples / 16 * 16;
    float *out = transposed_gradient(l, w, scratch);
    if (!shk_has_tiles(l) || !out) return;
    ptrdiff_t dy_row;
    const float *dy = shk_batch_rows(w, shk_product_gradient(l), &dy_row);
    for (size_t i = 0; i < whole; i += 16)
        w->k->transpose(&(struct shk_transpose){.blocks = columns / 16,
                                                .src = dy + (ptrdiff_t)i * dy_row,
                                                .src_row = dy_row,
                                                .src_block = 16,
                                                .dst = out + i,
                                                .dst_row = (ptrdiff_t)row,
                                                .dst_block = 16 * (ptrdiff_t)row});
    for (size_t i = whole; i < w->samples; i++)
        for (size_t j = 0; j < columns; j++) out[j * row + i] = dy[(ptrdiff_t)i * dy_row + (ptrdiff_t)j];
}

// ---- Weight gradients

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

void shk_linear_gradient_and_rule(const struct shk_whole_batch *w, const struct shk_update *u,
                                  const struct shk_rule *rule, float *scratch) {
    const struct shk_linear *l = shk_linear_of(u->op);
    size_t width = shk_tile_width(u->param, u->panel);
    ptrdiff_t dy_row;
    const float *dy = shk_batch_rows(w, shk_product_gradient(l), &dy_row) + u->row;
    struct shk_sparse_gemm gemm = {.m = u->length / width,
                                   .n = width,
                                   .k = w->samples,
                                   .a = dy,
                                   .a_row = 1,
                                   .a_col = dy_row,
                                   .c = scratch,
                                   .c_row = (ptrdiff_t)width,
                                   .rule = rule};
    gemm.b = shk_batch_rows(w, &l->op.in, &gemm.b_row) + u->panel * SHK_INPUT_TILE;
    if (l->op.dealt && transposed_gradient(l, w, scratch)) {
        gemm.a_row = (ptrdiff_t)shk_round16(w->samples);
        gemm.a_col = 1;
        gemm.a = transposed_gradient(l, w, scratch) + (ptrdiff_t)u->row * gemm.a_row;
    }
    if (u->bias)
        w->k->column_sum(&(struct shk_column_sum){
            .rows = gemm.k, .cols = gemm.m, .x = dy, .row = dy_row, .sum = scratch + SHK_GRADIENT_FLOATS});
    w->k->sparse_gemm(&gemm);
}

// Block after block of rows, each chain going on in the tile.
void shk_linear_gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *scratch) {
    const struct shk_linear *l = shk_linear_of(u->op);
    if (shk_has_tiles(l)) {
        shk_linear_gradient_and_rule(w, u, NULL, scratch);
        return;
    }
    ptrdiff_t dy_row, x_row;
    const float *dy = shk_batch_rows(w, shk_product_gradient(l), &dy_row), *x = shk_batch_rows(w, &l->op.in, &x_row);
    float *bias = scratch + SHK_GRADIENT_FLOATS, *x_block = bias + SHK_GRADIENT_BIAS;
    const bool tokens = l->op.in.rows > 1;
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
                            .sums = u->bias && !tokens ? bias : NULL};
    size_t rows = w->samples * l->op.in.rows, blocks = groups_of(rows, SHK_GRADIENT_DEPTH);
    if (u->bias) memset(bias, 0, gemm.n * sizeof *bias);
    if (u->bias && tokens) shk_add_bias_gradient(w->k, gemm.b, dy_row, rows, gemm.n, bias);
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

// ---- Tasks and updates

size_t shk_linear_tasks(const struct shk_op *op, enum shk_phase phase) {
    const struct shk_linear *l = shk_linear_of(op);
    return phase == SHK_FORWARD ? l->blocks * groups_of(l->columns, FORWARD_COLUMNS)
                                : groups_of(shk_readers_of(l), TILE_ROWS);
}

unsigned shk_linear_task_updates(const struct shk_op *op) {
    const struct shk_linear *l = shk_linear_of(op);
    return (unsigned)groups_of(l->columns, shk_has_tiles(l) ? TILE_OUTPUTS : TILE_COLUMNS);
}

// Tile by tile. The first takes in the bias.
static void update_tiles(const struct shk_linear *l, struct shk_update_list *list) {
    const struct shk_param *w = l->op.weight;
    for (size_t tile = 0; tile < shk_param_panels(w); tile++) {
        const size_t width = shk_tile_width(w, tile);
        for (size_t row = 0; row < w->ld; row += TILE_OUTPUTS) {
            struct shk_update u = {.param = w, .op = &l->op, .panel = tile, .panels = 1, .row = row, .bias = tile == 0};
            u.of_batch = u.derives = true;
            u.length = (w->ld - row < TILE_OUTPUTS ? w->ld - row : TILE_OUTPUTS) * width;
            u.start = tile * SHK_INPUT_TILE * w->ld + row * width;
            shk_updates_add(list, u);
        }
    }
}

// Tasks that are dealt out transpose panels as they need them: then there is no packing to follow.
void shk_linear_batch_updates(const struct shk_linear *l, struct shk_update_list *list) {
    if (shk_has_tiles(l)) {
        update_tiles(l, list);
        return;
    }
    const struct shk_tile tile = l->op.dealt
                                     ? (struct shk_tile){TILE_ROWS, TILE_COLUMNS}
                                     : shk_tile_of(shk_readers_of(l), l->columns, shk_updates_tile_floats(list));
    shk_updates_of_panels(list, &l->op, l->op.weight, 0, l->columns / 16, true, !l->op.dealt, tile);
}
