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

struct tile {
    size_t rows, columns;
};

// Equal parts of n, but for what rounding to multiples of 16 leaves to the last.
static size_t part_of(size_t n, size_t parts) { return shk_round16((n + parts - 1) / parts); }

// The longer side is cut until no more than `most` floats are left: the nearer to a square, the less often X and dY are
// read.
static struct tile tile_of(size_t rows, size_t columns, size_t most) {
    size_t row_parts = 1, column_parts = 1;
    for (;;) {
        struct tile t = {part_of(rows, row_parts), part_of(columns, column_parts)};
        bool fits = t.rows <= SHK_GRADIENT_SIDE && t.columns <= SHK_GRADIENT_SIDE;
        if (fits && t.rows * t.columns <= most) return t;
        if (t.rows > t.columns)
            row_parts++;
        else
            column_parts++;
    }
}

static bool is_from_batch(const struct shk_plan *p, unsigned i) {
    const struct shk_op *op = &p->ops[i];
    return op->weight && op->kind == &shk_op_linear && op->u.linear.batch_gradient && p->batch_layer != (int)i;
}

// The largest tile: so that there are some for each worker.
static size_t tile_floats(const struct shk_plan *p) {
    enum { TASKS = 4 };
    size_t floats = 0;
    for (unsigned i = 0; i < p->op_count; i++)
        if (is_from_batch(p, i)) floats += p->ops[i].weight->row * p->ops[i].u.linear.columns;
    floats /= (size_t)TASKS * p->workers;
    return floats < SHK_TILE_FLOATS ? SHK_TILE_FLOATS : floats < SHK_GRADIENT_FLOATS ? floats : SHK_GRADIENT_FLOATS;
}

// Tiles of the weights, by rows; those of the first row are also about the bias.
static void update_from_batch(struct shk_plan *p, const struct shk_op *op, struct tile tile) {
    const struct shk_param *w = op->weight;
    size_t panels = op->u.linear.columns / 16, tile_panels = tile.columns / 16;
    for (size_t row = 0; row < w->row; row += tile.rows) {
        for (size_t panel = 0; panel < panels; panel += tile_panels) {
            struct shk_update u = {.param = w, .panel = panel, .row = row, .batch_op = op};
            u.panels = panels - panel < tile_panels ? panels - panel : tile_panels;
            u.length = (w->row - row < tile.rows ? w->row - row : tile.rows) * 16;
            u.start = (panel * w->row + row) * 16;
            add_update(p, u);
        }
    }
}

static void place_updates(struct shk_plan *p) {
    p->update_count = 0;
    p->shard_floats = 0;
    size_t most = tile_floats(p);
    if (p->batch_layer >= 0)
        update_from_batch(p, &p->ops[p->batch_layer], (struct tile){SHK_TILE_ROWS, SHK_TILE_COLUMNS});
    p->layer_updates = p->update_count;
    for (unsigned i = 0; i < p->op_count; i++) {
        struct shk_op *op = &p->ops[i];
        if (!op->weight || p->batch_layer == (int)i) continue;
        if (is_from_batch(p, i)) {
            update_from_batch(p, op, tile_of(op->weight->row, op->u.linear.columns, most));
            continue;
        }
        size_t start = 0, length = op->weight->length, bias_start = 0, bias_length = op->bias->length;
        if (op->kind == &shk_op_linear) bias_length = op->u.linear.columns;
        if (op->kind == &shk_op_cls_attention) { // keys and values
            bias_start = op->u.cls_attention.heads * op->u.cls_attention.d;
            bias_length = 2 * bias_start;
        }
        if (op->kind == &shk_op_linear || op->kind == &shk_op_cls_attention) {
            start = bias_start * op->weight->row;
            length = bias_length * op->weight->row;
        }
        op->weight_grad = update_from_shards(p, op->weight, start, length);
        op->bias_grad = update_from_shards(p, op->bias, bias_start, bias_length);
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
