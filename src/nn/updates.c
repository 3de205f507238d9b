// SPDX-License-Identifier: MIT
// Where each parameter's gradient comes from, and the tasks that apply it.
#include "base/memory.h"
#include "nn/op.h"
#include "nn/plan_internal.h"

enum { CHUNK = SHK_TILE_FLOATS };

static void add_update(struct shk_plan *p, struct shk_update u) {
    if (p->updates) p->updates[p->update_count] = u;
    p->update_count++;
}

static bool is_groupable(const struct shk_op *op, const struct shk_param *param) {
    return op->kind == &shk_op_conv || (op->kind == &shk_op_linear && param == op->weight);
}

// Panels `first`.. of a derived parameter, or all of one that is not, from the shards' buffers.
static size_t update_from_shards(struct shk_plan *p, unsigned op, const struct shk_param *param, size_t length) {
    size_t grad = p->shard_floats, panel = param->row * 16;
    p->shard_floats += length;
    if (is_groupable(&p->ops[op], param)) p->grouped_floats += length;
    size_t step = param->derived ? panel : CHUNK;
    for (size_t at = 0; at < length; at += step) {
        struct shk_update u = {.param = param, .op = op, .start = at, .shard_grad = grad + at};
        u.groupable = is_groupable(&p->ops[op], param);
        u.length = length - at < step ? length - at : step;
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
        if (is_from_batch(p, i)) floats += shk_linear_inputs(&p->ops[i]) * p->ops[i].u.linear.columns;
    floats /= (size_t)TASKS * p->workers;
    return floats < SHK_TILE_FLOATS ? SHK_TILE_FLOATS : floats < SHK_GRADIENT_FLOATS ? floats : SHK_GRADIENT_FLOATS;
}

// Tiles of the weights, by rows; panels `first` .. `end` - 1. Those of the first row also take in the bias, if `bias`.
static void update_weights_from_batch(struct shk_plan *p, const struct shk_op *op, size_t first, size_t end, bool bias,
                                      struct tile tile) {
    const struct shk_param *w = op->weight;
    size_t tile_panels = tile.columns / 16;
    for (size_t row = 0; row < w->row; row += tile.rows) {
        for (size_t panel = first; panel < end; panel += tile_panels) {
            struct shk_update u = {.param = w, .panel = panel, .row = row, .bias = bias && row == 0, .batch_op = op};
            u.op = (unsigned)(op - p->ops);
            u.panels = end - panel < tile_panels ? end - panel : tile_panels;
            u.length = (w->row - row < tile.rows ? w->row - row : tile.rows) * 16;
            u.start = (panel * w->row + row) * 16;
            add_update(p, u);
        }
    }
}

// Tile by tile. The first takes in the bias.
static void update_tiles_from_batch(struct shk_plan *p, const struct shk_op *op) {
    const struct shk_param *w = op->weight;
    for (size_t tile = 0; tile < shk_param_panels(w); tile++) {
        size_t width = shk_tile_width(w, tile);
        for (size_t row = 0; row < w->row; row += SHK_TILE_OUTPUTS) {
            struct shk_update u = {
                .param = w, .panel = tile, .panels = 1, .row = row, .bias = tile == 0, .batch_op = op};
            u.op = (unsigned)(op - p->ops);
            u.length = (w->row - row < SHK_TILE_OUTPUTS ? w->row - row : SHK_TILE_OUTPUTS) * width;
            u.start = tile * SHK_INPUT_TILE * w->row + row * width;
            add_update(p, u);
        }
    }
}

static void update_layer_from_batch(struct shk_plan *p, const struct shk_op *op, struct tile tile) {
    if (shk_has_tiles(op))
        update_tiles_from_batch(p, op);
    else
        update_weights_from_batch(p, op, 0, op->u.linear.columns / 16, true, tile);
}

// Of CLS's attention, head by head. The keys' bias has no gradient: softmax does not see it.
static void update_keys_and_values_from_batch(struct shk_plan *p, const struct shk_op *op, size_t most) {
    size_t d = op->u.cls_attention.d, inner = op->u.cls_attention.heads * d;
    struct tile tile = tile_of(op->weight->row, d, most);
    for (size_t column = inner; column < 3 * inner; column += d) {
        update_weights_from_batch(p, op, column / 16, (column + d) / 16, false, tile);
        if (column >= 2 * inner)
            add_update(
                p, (struct shk_update){
                       .param = op->bias, .op = (unsigned)(op - p->ops), .start = column, .length = d, .batch_op = op});
    }
}

static void place_updates(struct shk_plan *p) {
    p->update_count = 0;
    p->shard_floats = p->grouped_floats = 0;
    size_t most = tile_floats(p);
    if (p->batch_layer >= 0)
        update_layer_from_batch(p, &p->ops[p->batch_layer], (struct tile){SHK_TILE_ROWS, SHK_TILE_COLUMNS});
    p->layer_updates = p->update_count;
    for (unsigned i = 0; i < p->op_count; i++) {
        struct shk_op *op = &p->ops[i];
        if (!op->weight || p->batch_layer == (int)i) continue;
        if (is_from_batch(p, i)) {
            update_layer_from_batch(p, op, tile_of(shk_linear_inputs(op), op->u.linear.columns, most));
            continue;
        }
        if (op->kind == &shk_op_cls_attention) {
            update_keys_and_values_from_batch(p, op, most);
            continue;
        }
        size_t length = op->weight->length, bias_length = op->bias->length;
        if (op->kind == &shk_op_linear) {
            bias_length = op->u.linear.columns;
            length = bias_length * shk_linear_inputs(op);
        }
        op->weight_grad = update_from_shards(p, i, op->weight, length);
        op->bias_grad = update_from_shards(p, i, op->bias, bias_length);
        if (op->kind != &shk_op_embed) continue;
        if (op->u.embed.cls) op->u.embed.cls_grad = update_from_shards(p, i, op->u.embed.cls, op->u.embed.cls->length);
        if (op->u.embed.positions)
            op->u.embed.positions_grad = update_from_shards(p, i, op->u.embed.positions, op->u.embed.positions->length);
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
