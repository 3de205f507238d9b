// SPDX-License-Identifier: MIT
// The embedding op puts a CLS token before tokens and adds positions, where the op that makes the tokens does not.
#include "nn/ops/embedding.h"

#include "nn/ops/map.h"
#include "nn/ops/ops.h"
#include <string.h>

// ---- For any op that makes tokens

static const struct shk_param *place(struct shk_lowering *f, int layer, size_t rows) {
    if (layer < 0) return NULL;
    const size_t dim = shk_layer_at(f, layer)->out.c;
    struct shk_param_form p = {.layout = SHK_ROWS, .inner = shk_axis1(dim), .ld = shk_round16(dim), .outputs = rows};
    if (rows > 1) p.outer = shk_axis1(rows);
    shk_takes(f, layer);
    return shk_lay_out(f, shk_layer_at(f, layer)->params[0], &p);
}

static const float *make_fixed(struct shk_lowering *f, int layer) {
    const struct shk_layer *l = shk_layer_at(f, layer);
    const size_t ld = shk_round16(l->out.c);
    float *table = shk_constants_new(f, l->out.h * ld);
    if (table) shk_grid_positions(&l->grid, l->out.h, l->out.c, ld, table);
    shk_takes(f, layer);
    return table;
}

int shk_embedding_behind(const struct shk_lowering *f, int layer) {
    const int learned = shk_follower(f, layer, SHK_POSITIONS);
    return learned >= 0 ? learned : shk_follower(f, layer, SHK_FIXED_POSITIONS);
}

struct shk_embedding shk_embedding_take(struct shk_lowering *f, int cls, int positions) {
    struct shk_embedding e = {.cls = place(f, cls, 1)};
    e.ld = shk_round16(shk_layer_at(f, positions < 0 ? cls < 0 ? f->at : cls : positions)->out.c);
    if (shk_layer_is(f, positions, SHK_FIXED_POSITIONS))
        e.fixed = make_fixed(f, positions);
    else
        e.positions = place(f, positions, positions < 0 ? 0 : shk_layer_at(f, positions)->out.h);
    return e;
}

const float *shk_embedding_positions(const struct shk_embedding *e, const struct shk_slice *s, size_t row) {
    const float *all = e->positions ? s->weights + e->positions->offset : e->fixed;
    return all ? all + row * e->ld : NULL;
}

void shk_embedding_begin(const struct shk_embedding *e, const struct shk_slice *s, float *row) {
    if (!e->cls) return;
    const size_t ld = e->ld;
    const float *position = shk_embedding_positions(e, s, 0);
    memcpy(row, s->weights + e->cls->offset, ld * sizeof *row);
    if (position) s->k->add(&(struct shk_add){1, ld, position, (ptrdiff_t)ld, row, (ptrdiff_t)ld});
}

// What is added to each sample: the sum over the samples of a segment, of the first rows.
static void sum_samples(const struct shk_op *op, const struct shk_slice *s, const struct shk_segment *g,
                        const struct shk_param *p, size_t grad) {
    if (!p) return;
    const size_t stride = shk_sample_stride(s, &op->out_grad);
    s->k->column_sum(&(struct shk_column_sum){.rows = g->samples,
                                              .cols = p->length,
                                              .x = shk_rows_at(s, &op->out_grad) + g->start * stride,
                                              .row = (ptrdiff_t)stride,
                                              .start = g->first ? NULL : g->own + grad,
                                              .sum = g->own + grad});
    shk_segment_add(s, g, grad, p->length);
}

void shk_embedding_gradient(const struct shk_embedding *e, const struct shk_op *op, const struct shk_slice *s,
                            const struct shk_segment *g) {
    sum_samples(op, s, g, e->cls, e->cls_grad);
    sum_samples(op, s, g, e->positions, e->positions_grad);
}

void shk_embedding_updates(struct shk_embedding *e, const struct shk_op *op, struct shk_update_list *list) {
    if (e->cls) e->cls_grad = shk_updates_from_shards(list, op, e->cls, e->cls->length);
    if (e->positions) e->positions_grad = shk_updates_from_shards(list, op, e->positions, e->positions->length);
}

size_t shk_embedding_floats(const struct shk_embedding *e) {
    return (e->cls ? e->cls->length : 0) + (e->positions ? e->positions->length : 0);
}

// ---- The op

struct embedding {
    struct shk_op op;
    struct shk_embedding e;
};

static inline const struct embedding *embedding_of(const struct shk_op *op) { return (const struct embedding *)op; }

// Where a sample's tokens begin in the output or its gradient: behind the CLS token.
static float *tokens_at(const struct shk_op *op, const struct shk_slice *s, const struct shk_view *v, size_t sample) {
    return shk_sample_at(s, v, sample) + (op->out.rows - op->in.rows) * v->ld;
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct shk_embedding *e = &embedding_of(op)->e;
    for (size_t i = 0; i < s->samples; i++) {
        struct shk_dropout sum = {
            .rows = 1, .cols = op->in.rows * op->in.cols, .scale = 1}; // without a mask it is a sum
        shk_embedding_begin(e, s, shk_sample_at(s, &op->out, i));
        sum.x = shk_sample_at(s, &op->in, i);
        sum.residual = shk_embedding_positions(e, s, op->out.rows - op->in.rows);
        sum.y = tokens_at(op, s, &op->out, i);
        s->k->dropout_forward(&sum);
    }
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const size_t n = op->in.rows * op->in.cols;
    for (size_t i = 0; i < s->samples; i++) {
        const float *dy = tokens_at(op, s, &op->out_grad, i);
        float *dx = shk_sample_at(s, &op->in_grad, i);
        if (op->accumulate)
            s->k->add(&(struct shk_add){.rows = 1, .cols = n, .x = dy, .y = dx});
        else
            memcpy(dx, dy, n * sizeof *dx);
    }
}

static void weight_gradient(const struct shk_op *op, const struct shk_slice *s) {
    SHK_EACH_SEGMENT(s, g) shk_embedding_gradient(&embedding_of(op)->e, op, s, g);
}

static bool match(struct shk_lowering *f) {
    const bool begins = shk_layer_is(f, f->at, SHK_CLS_TOKEN);
    const int cls = begins ? f->at : -1, positions = begins ? shk_embedding_behind(f, f->at) : f->at;
    const struct shk_value in = *shk_input_of(f);
    if (!begins && !shk_layer_is(f, f->at, SHK_POSITIONS) && !shk_layer_is(f, f->at, SHK_FIXED_POSITIONS)) return false;
    if (!shk_is_dense(&in.value) || in.axis.count != 1) return false;
    struct embedding *e = shk_op_new(f, &shk_op_embedding, shk_layer_at(f, f->at)->name, &in);
    if (!e) return false;
    const size_t rows = in.value.rows + begins, cols = in.value.cols;
    e->e = shk_embedding_take(f, cls, positions);
    e->op.out = shk_view_new(f->plan, rows, cols);
    e->op.out_grad = shk_grad_new(f->plan, rows, cols);
    shk_gives(f, positions < 0 ? cls : positions, &e->op, in.axis);
    return true;
}

static void declare(struct shk_op *op) { shk_op_uses_views(op, 0, 0); }

static void updates(struct shk_op *op, struct shk_update_list *list) {
    shk_embedding_updates(&((struct embedding *)op)->e, op, list);
}

static size_t shard_floats(const struct shk_op *op) { return shk_embedding_floats(&embedding_of(op)->e); }

const struct shk_op_type shk_op_embedding = {.name = "embedding",
                                             .size = sizeof(struct embedding),
                                             .match = match,
                                             .declare = declare,
                                             .run = {forward, input_gradient, weight_gradient},
                                             .updates = updates,
                                             .shard_floats = shard_floats};
