// SPDX-License-Identifier: MIT
// Where each parameter's gradient comes from, and the tasks that apply it.
#include "base/memory.h"
#include "nn/plan_internal.h"

enum { CHUNK = SHK_TILE_FLOATS };

static void add_update(struct shk_plan *p, struct shk_update u) {
    if (p->updates) p->updates[p->update_count] = u;
    p->update_count++;
}

// Panels `first`.. of a derived parameter, or all of one that is not, from the shards' buffers.
static size_t update_from_shards(struct shk_plan *p, const struct shk_param *param, size_t start, size_t length) {
    size_t grad = p->shard_floats, panel = param->row * 16;
    p->shard_floats += length;
    size_t step = param->derived ? panel : CHUNK;
    for (size_t at = 0; at < length; at += step) {
        struct shk_update u = {.param = param, .start = start + at, .length = length - at < step ? length - at : step};
        u.shard_grad = grad + at;
        if (param->derived) {
            u.panel = u.start / panel;
            u.panels = 1;
        }
        add_update(p, u);
    }
    return grad;
}

// Tiles of the weights, by rows; panels `first` .. `end` - 1.
static void update_weights_from_batch(struct shk_plan *p, const struct shk_op *op, size_t first, size_t end) {
    enum { PANELS = SHK_TILE_COLUMNS / 16 };
    const struct shk_param *w = op->weight;
    for (size_t row = 0; row < w->row; row += SHK_TILE_ROWS) {
        for (size_t panel = first; panel < end; panel += PANELS) {
            struct shk_update u = {.param = w, .panel = panel, .row = row, .batch_op = op};
            u.panels = end - panel < PANELS ? end - panel : PANELS;
            u.length = (w->row - row < SHK_TILE_ROWS ? w->row - row : SHK_TILE_ROWS) * 16;
            u.start = (panel * w->row + row) * 16;
            add_update(p, u);
        }
    }
}

static void update_layer_from_batch(struct shk_plan *p, const struct shk_op *op) {
    update_weights_from_batch(p, op, 0, op->u.linear.columns / 16);
}

static void update_bias_from_batch(struct shk_plan *p, const struct shk_op *op) {
    for (size_t at = 0; at < op->u.linear.columns; at += CHUNK) {
        size_t left = op->u.linear.columns - at;
        add_update(p, (struct shk_update){
                          .param = op->bias, .start = at, .length = left < CHUNK ? left : CHUNK, .batch_op = op});
    }
}

// Of CLS's attention, head by head. The keys' bias has no gradient: softmax does not see it.
static void update_keys_and_values_from_batch(struct shk_plan *p, const struct shk_op *op) {
    size_t d = op->u.cls_attention.d, inner = op->u.cls_attention.heads * d;
    for (size_t column = inner; column < 3 * inner; column += d) {
        update_weights_from_batch(p, op, column / 16, (column + d) / 16);
        if (column >= 2 * inner)
            add_update(p, (struct shk_update){.param = op->bias, .start = column, .length = d, .batch_op = op});
    }
}

static void place_updates(struct shk_plan *p) {
    p->update_count = 0;
    p->shard_floats = 0;
    if (p->batch_layer >= 0) update_layer_from_batch(p, &p->ops[p->batch_layer]);
    p->layer_updates = p->update_count;
    for (unsigned i = 0; i < p->op_count; i++) {
        struct shk_op *op = &p->ops[i];
        if (!op->weight) continue;
        if (op->kind == &shk_op_linear && op->u.linear.batch_gradient) {
            if (p->batch_layer != (int)i) update_layer_from_batch(p, op);
            update_bias_from_batch(p, op);
            continue;
        }
        if (op->kind == &shk_op_cls_attention) {
            update_keys_and_values_from_batch(p, op);
            continue;
        }
        size_t length = op->weight->length, bias_length = op->bias->length;
        if (op->kind == &shk_op_linear) {
            bias_length = op->u.linear.columns;
            length = bias_length * op->weight->row;
        }
        op->weight_grad = update_from_shards(p, op->weight, 0, length);
        op->bias_grad = update_from_shards(p, op->bias, 0, bias_length);
        if (op->kind != &shk_op_embed) continue;
        if (op->u.embed.cls) op->u.embed.cls_grad = update_from_shards(p, op->u.embed.cls, 0, op->u.embed.cls->length);
        if (op->u.embed.positions)
            op->u.embed.positions_grad = update_from_shards(p, op->u.embed.positions, 0, op->u.embed.positions->length);
    }
}

// Once to count, once to write.
bool shk_plan_updates(struct shk_plan *p, struct shk_error *err) {
    place_updates(p);
    p->updates = shk_alloc(p->update_count, sizeof *p->updates, "the plan's update tasks", err);
    if (!p->updates) return false;
    place_updates(p);
    return true;
}
