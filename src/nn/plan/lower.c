// SPDX-License-Identifier: MIT
// Layers become ops here, one matcher after the other; what none takes is refused.
#include "nn/plan/lower.h"

#include "base/memory.h"
#include <math.h>
#include <stdio.h>

// ---- The graph

int shk_follower(const struct shk_lowering *f, int layer, enum shk_layer_kind kind) {
    const int next = shk_graph_consumer(f->graph, layer);
    return shk_layer_is(f, next, kind) ? next : -1;
}

bool shk_reads_last(const struct shk_lowering *f) {
    return shk_graph_last_consumer(f->graph, shk_layer_at(f, f->at)->in[0]) == f->at;
}

void shk_takes(struct shk_lowering *f, int layer) { f->taken[layer] = true; }

void shk_gives(struct shk_lowering *f, int layer, struct shk_op *op, struct shk_axis axis) {
    shk_takes(f, layer);
    f->values[layer] = (struct shk_value){op->out, op->out_grad, axis, op, false};
}

// ---- Ops and buffers

void *shk_op_new(struct shk_lowering *f, const struct shk_op_type *type, const char *name, const struct shk_value *in) {
    struct shk_plan *p = f->plan;
    if (p->op_count == f->op_room) {
        shk_fail(f->err, SHK_BAD_INPUT, "the model takes more than %u ops, up to layer %s alone", f->op_room, name);
        f->failed = true;
        return NULL;
    }
    struct shk_op *op = (struct shk_op *)(p->op_memory + p->op_count * f->op_size);
    op->type = type;
    op->in = in ? in->value : shk_no_view;
    op->in_grad = in ? in->grad : shk_no_view;
    op->out = op->out_grad = shk_no_view;
    op->accumulate = in && !shk_reads_last(f);
    op->index = p->op_count;
    snprintf(op->name, sizeof op->name, "%s", name);
    p->ops[p->op_count++] = op;
    return op;
}

int shk_buffer_new(struct shk_plan *p, size_t floats) {
    p->buffers[p->buffer_count] = (struct shk_buffer){.per_sample = shk_round16(floats)};
    return (int)p->buffer_count++;
}

struct shk_view shk_view_new(struct shk_plan *p, size_t rows, size_t cols) {
    return (struct shk_view){shk_buffer_new(p, rows * cols), 0, rows, cols, cols};
}

struct shk_view shk_grad_new(struct shk_plan *p, size_t rows, size_t cols) {
    return p->training ? shk_view_new(p, rows, cols) : shk_no_view;
}

float *shk_constants_new(struct shk_lowering *f, size_t floats) {
    struct shk_constants *c = shk_alloc(1, sizeof *c + floats * sizeof(float), "the constants of a plan", f->err);
    f->failed = !c;
    if (!c) return NULL;
    c->before = f->plan->constants;
    f->plan->constants = c;
    return c->numbers;
}

void shk_op_uses(struct shk_op *op, int buffer, unsigned when) {
    if (buffer >= 0) op->uses[op->use_count++] = (struct shk_use){buffer, when};
}

void shk_op_uses_views(struct shk_op *op, unsigned in_beside, unsigned out_beside) {
    const unsigned added = op->accumulate ? SHK_READS_BACKWARD : 0;
    shk_op_uses(op, op->in.buffer, SHK_READS_FORWARD | in_beside);
    shk_op_uses(op, op->out.buffer, SHK_WRITES_FORWARD | out_beside);
    shk_op_uses(op, op->in_grad.buffer, SHK_WRITES_BACKWARD | added);
    shk_op_uses(op, op->out_grad.buffer, SHK_READS_BACKWARD);
}

struct shk_drops shk_drops_of(const struct shk_lowering *f, const struct shk_layer *l, double dropout) {
    return (struct shk_drops){l->draw, f->plan->training ? (uint32_t)lrint(dropout * 65536) : 0};
}

// ---- Parameters

const struct shk_param *shk_lay_out(struct shk_lowering *f, int param, const struct shk_param_form *placing) {
    if (f->placing) {
        struct shk_param *p = &f->placing->params[param];
        p->layout = placing->layout;
        p->outer = placing->outer;
        p->inner = placing->inner;
        p->ld = placing->ld;
        p->length = shk_round16(placing->outputs * placing->ld);
        p->packing = placing->packing;
        p->packed = placing->packing ? placing->packed : 0;
    }
    return &f->plan->model->params[param];
}

const struct shk_param *shk_lay_out_vector(struct shk_lowering *f, int param, struct shk_axis axis, size_t padded) {
    const struct shk_param_form vector = {.layout = SHK_ROWS, .inner = axis, .ld = padded, .outputs = 1};
    return shk_lay_out(f, param, &vector);
}

// ---- All layers

static bool refuse(struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    if (f->failed) return false;
    return shk_fail(f->err, SHK_BAD_INPUT, "the model cannot be computed: there is no op for layer %s (%s) behind %s",
                    l->name, shk_layer_name(l->kind), shk_layer_at(f, l->in[0])->name);
}

// Whether everything that the next layer reads is in a buffer.
static bool inputs_made(const struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    for (int k = 0; k < 2; k++)
        if (l->in[k] >= 0 && !f->values[l->in[k]].op) return false;
    return true;
}

static bool has_border(const struct shk_lowering *f) {
    const struct shk_layer *l = shk_layer_at(f, f->at);
    return (l->in[0] >= 0 && f->values[l->in[0]].bordered) || (l->in[1] >= 0 && f->values[l->in[1]].bordered);
}

static bool take_next(struct shk_lowering *f, const struct shk_op_type *const *types) {
    for (size_t i = 0; inputs_made(f) && types[i]; i++) {
        if (has_border(f) && !types[i]->reads_borders) continue;
        if (types[i]->match(f) || f->failed) return !f->failed;
    }
    return refuse(f);
}

// One block for all ops, each of which has as much as the largest type takes. No layer makes more than two on average.
static bool make_room(struct shk_lowering *f, const struct shk_op_type *const *types) {
    for (size_t i = 0; types[i]; i++)
        if (types[i]->size > f->op_size) f->op_size = types[i]->size;
    f->op_size = (f->op_size + 63) & ~(size_t)63;
    f->op_room = 2 * f->graph->count < SHK_MAX_OPS ? 2 * f->graph->count : SHK_MAX_OPS;
    f->plan->op_bytes = f->op_room * f->op_size;
    f->plan->op_memory = shk_alloc(1, f->plan->op_bytes, "the ops of a plan", f->err);
    return f->plan->op_memory;
}

bool shk_lower(struct shk_plan *p, struct shk_model *placing, const struct shk_op_type *const *types,
               struct shk_error *err) {
    struct shk_lowering *f = shk_alloc(1, sizeof *f, "the layers of a plan", err);
    if (!f) return false;
    f->plan = p;
    f->placing = placing;
    f->graph = &p->model->computed;
    f->err = err;
    bool ok = make_room(f, types);
    for (; ok && f->at < (int)f->graph->count; f->at++)
        if (!f->taken[f->at]) ok = take_next(f, types);
    shk_free(f);
    return ok;
}
