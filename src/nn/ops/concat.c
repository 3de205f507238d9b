// SPDX-License-Identifier: MIT
// The concat op lays the channels of several values side by side, those of each row without gaps: in front of the padding to
// whole vectors, as those behind want them. Backward it deals the gradient out.
#include "nn/ops/map.h"
#include "nn/ops/ops.h"

#include <string.h>

// A value that is joined.
struct piece {
    int layer;
    struct shk_view value, grad;
    bool accumulate;      // the gradient is added to what is there
    struct shk_axis axis; // of three digits: those of the last are a run
    size_t first;         // where its channels begin in the op's rows, in which they are consecutive
};

enum { MOST = 4 }; // of an op; more are joined one op after the other
struct concat {
    struct shk_op op;
    unsigned count;
    struct piece pieces[MOST];
};

static inline const struct concat *concat_of(const struct shk_op *op) { return (const struct concat *)op; }

static size_t end_of(const struct piece *p) { return p->first + shk_axis_extent(&p->axis); }

// Numbers `step` apart in each of some rows, which have `row` floats.
struct numbers {
    float *at;
    size_t row, step;
};

static size_t runs_of(const struct piece *p) { return p->axis.digits[0].extent * p->axis.digits[1].extent; }
static size_t length_of(const struct piece *p) { return p->axis.digits[2].extent; }

// A run in the rows of the piece, which begin at x, or of the op.
static struct numbers theirs(const struct piece *p, const struct shk_view *v, float *x, size_t run) {
    const size_t inner = p->axis.digits[1].extent;
    x += run / inner * p->axis.digits[0].stride + run % inner * p->axis.digits[1].stride;
    return (struct numbers){x, v->ld, p->axis.digits[2].stride};
}
static struct numbers ours(const struct piece *p, const struct shk_view *v, float *y, size_t run) {
    return (struct numbers){y + p->first + run * length_of(p), v->ld, 1};
}

// n numbers of each row; those of a flattened map lie apart.
static void move(const struct shk_slice *s, size_t rows, size_t n, struct numbers from, struct numbers to,
                 bool accumulate) {
    if (from.step == 1 && to.step == 1) {
        s->k->concat(&(struct shk_concat){rows, n, from.at, from.row, to.at, to.row, accumulate});
        return;
    }
    for (size_t r = 0; r < rows; r++, from.at += from.row, to.at += to.row)
        for (size_t i = 0; i < n; i++)
            to.at[i * to.step] = (accumulate ? to.at[i * to.step] : 0) + from.at[i * from.step];
}

static void forward_piece(const struct shk_op *op, const struct shk_slice *s, size_t sample, const struct piece *p) {
    float *x = shk_sample_at(s, &p->value, sample), *y = shk_sample_at(s, &op->out, sample);
    for (size_t i = 0; i < runs_of(p); i++)
        move(s, op->out.rows, length_of(p), theirs(p, &p->value, x, i), ours(p, &op->out, y, i), false);
}

static void forward(const struct shk_op *op, const struct shk_slice *s) {
    const struct concat *c = concat_of(op);
    const size_t end = end_of(&c->pieces[c->count - 1]);
    for (size_t i = 0; i < s->samples; i++) {
        for (unsigned k = 0; k < c->count; k++) forward_piece(op, s, i, &c->pieces[k]);
        float *y = shk_sample_at(s, &op->out, i);
        for (size_t r = 0; r < op->out.rows; r++, y += op->out.ld) memset(y + end, 0, (op->out.ld - end) * sizeof *y);
    }
}

static void backward_piece(const struct shk_op *op, const struct shk_slice *s, size_t sample, const struct piece *p) {
    float *dx = shk_sample_at(s, &p->grad, sample), *dy = shk_sample_at(s, &op->out_grad, sample);
    if (!p->accumulate && length_of(p) < p->grad.cols) memset(dx, 0, p->grad.rows * p->grad.ld * sizeof *dx);
    for (size_t i = 0; i < runs_of(p); i++)
        move(s, op->out.rows, length_of(p), ours(p, &op->out_grad, dy, i), theirs(p, &p->grad, dx, i), p->accumulate);
}

static void input_gradient(const struct shk_op *op, const struct shk_slice *s) {
    const struct concat *c = concat_of(op);
    for (size_t i = 0; i < s->samples; i++)
        for (unsigned k = 0; k < c->count; k++) backward_piece(op, s, i, &c->pieces[k]);
}

// ---- In the plan

static struct piece piece_of(const struct shk_lowering *f, int layer, int concat) {
    const struct shk_value *v = &f->values[layer];
    struct piece p = {.layer = layer, .value = v->value, .grad = v->grad, .axis = {3, {{1, 0}, {1, 0}, {1, 1}}}};
    p.accumulate = shk_graph_last_consumer(f->graph, layer) != concat;
    for (unsigned i = 0; i < v->axis.count; i++) p.axis.digits[3 - v->axis.count + i] = v->axis.digits[i];
    return p;
}

// The next piece, which `concat` reads. False: it is there already, or is laid out in other rows.
static bool take_piece(const struct shk_lowering *f, struct concat *c, int layer, int concat) {
    if (c->count == MOST || !f->values[layer].op) return false;
    struct piece p = piece_of(f, layer, concat);
    for (unsigned i = 0; i < c->count; i++) {
        if (c->pieces[i].layer == layer || c->pieces[i].value.rows != p.value.rows) return false;
        p.first = end_of(&c->pieces[i]);
    }
    c->pieces[c->count++] = p;
    return true;
}

// All that is joined one behind the other. Returns the last layer; -1: it cannot be.
static int take_all(const struct shk_lowering *f, struct concat *c) {
    const int *in = shk_layer_at(f, f->at)->in;
    if (!take_piece(f, c, in[0], f->at) || !take_piece(f, c, in[1], f->at)) return -1;
    for (int last = f->at;; last++) {
        const int next = shk_follower(f, last, SHK_CONCAT);
        if (next != last + 1 || shk_layer_at(f, next)->in[0] != last ||
            !take_piece(f, c, shk_layer_at(f, next)->in[1], next))
            return last;
    }
}

static bool match(struct shk_lowering *f) {
    if (!shk_layer_is(f, f->at, SHK_CONCAT)) return false;
    struct concat found = {.count = 0};
    const int last = take_all(f, &found);
    if (last < 0) return false;
    const struct shk_layer *l = shk_layer_at(f, f->at);
    struct concat *c = shk_op_new(f, &shk_op_concat, l->name, shk_input_of(f));
    if (!c) return false;
    found.op = c->op;
    *c = found;
    const size_t channels = shk_layer_at(f, last)->out.c, rows = c->op.in.rows;
    c->op.out = shk_view_new(f->plan, rows, shk_round16(channels));
    c->op.out_grad = shk_grad_new(f->plan, rows, shk_round16(channels));
    for (int i = f->at; i < last; i++) shk_takes(f, i);
    shk_gives(f, last, &c->op, shk_axis1(channels));
    return true;
}

static void declare(struct shk_op *op) {
    const struct concat *c = concat_of(op);
    for (unsigned i = 0; i < c->count; i++) {
        const struct piece *p = &c->pieces[i];
        shk_op_uses(op, p->value.buffer, SHK_READS_FORWARD);
        shk_op_uses(op, p->grad.buffer, SHK_WRITES_BACKWARD | (p->accumulate ? SHK_READS_BACKWARD : 0));
    }
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD);
}

const struct shk_op_type shk_op_concat = {.name = "concat",
                                          .size = sizeof(struct concat),
                                          .match = match,
                                          .declare = declare,
                                          .run = {forward, input_gradient}};
