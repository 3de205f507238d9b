// SPDX-License-Identifier: MIT
// Each op lists the updates of its parameters; what several of them need for that is here.
#include "nn/plan/updates.h"

#include "base/memory.h"

struct shk_update_list {
    struct shk_plan *plan;
    size_t tile_floats;
};

void shk_updates_add(struct shk_update_list *list, struct shk_update u) {
    struct shk_plan *p = list->plan;
    if (p->updates) p->updates[p->update_count] = u;
    p->update_count++;
}

void shk_updates_none(struct shk_update_list *list, const struct shk_param *param, size_t start, size_t length) {
    struct shk_plan *p = list->plan;
    p->no_gradients[p->no_gradient_count++] = (struct shk_no_gradient){param, start, length};
}

// Panel by panel of a parameter with a packing, else in pieces of one size.
size_t shk_updates_from_shards(struct shk_update_list *list, const struct shk_op *op, const struct shk_param *param,
                               size_t length) {
    struct shk_plan *p = list->plan;
    size_t grad = p->shard_floats, panel = param->ld * 16, step = param->packing ? panel : SHK_TILE_FLOATS;
    p->shard_floats += length;
    for (size_t at = 0; at < length; at += step) {
        struct shk_update u = {.param = param, .op = op, .start = at, .shard_grad = grad + at};
        u.length = length - at < step ? length - at : step;
        if (param->packing) {
            u.panel = u.start / panel;
            u.panels = 1;
            u.derives = true;
        }
        shk_updates_add(list, u);
    }
    return grad;
}

// Equal parts of n, but for what rounding to multiples of 16 leaves to the last.
static size_t part_of(size_t n, size_t parts) { return shk_round16((n + parts - 1) / parts); }

struct shk_tile shk_tile_of(size_t rows, size_t columns, size_t most) {
    size_t row_parts = 1, column_parts = 1;
    for (;;) {
        struct shk_tile t = {part_of(rows, row_parts), part_of(columns, column_parts)};
        bool fits = t.rows <= SHK_GRADIENT_SIDE && t.columns <= SHK_GRADIENT_SIDE;
        if (fits && t.rows * t.columns <= most) return t;
        if (t.rows > t.columns)
            row_parts++;
        else
            column_parts++;
    }
}

void shk_updates_of_panels(struct shk_update_list *list, const struct shk_op *op, const struct shk_param *w,
                           size_t first, size_t end, bool bias, bool derives, struct shk_tile tile) {
    size_t tile_panels = tile.columns / 16;
    for (size_t row = 0; row < w->ld; row += tile.rows) {
        for (size_t panel = first; panel < end; panel += tile_panels) {
            struct shk_update u = {.param = w, .op = op, .panel = panel, .row = row, .bias = bias && row == 0};
            u.derives = derives;
            u.of_batch = true;
            u.panels = end - panel < tile_panels ? end - panel : tile_panels;
            u.length = (w->ld - row < tile.rows ? w->ld - row : tile.rows) * 16;
            u.start = (panel * w->ld + row) * 16;
            shk_updates_add(list, u);
        }
    }
}

size_t shk_updates_tile_floats(const struct shk_update_list *list) { return list->tile_floats; }

static size_t tile_floats(const struct shk_plan *p) {
    enum { TASKS = 4 };
    size_t floats = 0;
    for (unsigned i = 0; i < p->op_count; i++)
        if (p->ops[i]->type->batch_floats && !p->ops[i]->dealt) floats += p->ops[i]->type->batch_floats(p->ops[i]);
    floats /= (size_t)TASKS * p->workers;
    return floats < SHK_TILE_FLOATS ? SHK_TILE_FLOATS : floats < SHK_GRADIENT_FLOATS ? floats : SHK_GRADIENT_FLOATS;
}

// The dealt op's first, in order of its tasks.
static void list_updates(struct shk_plan *p) {
    struct shk_update_list list = {p, tile_floats(p)};
    p->update_count = p->no_gradient_count = 0;
    p->shard_floats = 0;
    if (p->dealt >= 0) p->ops[p->dealt]->type->updates(p->ops[p->dealt], &list);
    p->dealt_updates = p->update_count;
    for (unsigned i = 0; i < p->op_count; i++)
        if (p->ops[i]->type->updates && p->dealt != (int)i) p->ops[i]->type->updates(p->ops[i], &list);
}

// Once to count, once to write.
bool shk_plan_updates(struct shk_plan *p, struct shk_error *err) {
    list_updates(p);
    p->updates = shk_alloc(p->update_count, sizeof *p->updates, "the plan's update tasks", err);
    if (!p->updates) return false;
    list_updates(p);
    return true;
}

static size_t shard_floats_of(const struct shk_op *op) {
    return op->type->shard_floats ? op->type->shard_floats(op) : 0;
}

void shk_plan_bound_shards(struct shk_plan *p) {
    enum { MOST_FLOATS = 85 * 1024 }; // of a shard; 2.7 MiB of 8 groups
    bool stays[SHK_MAX_OPS] = {false};
    for (;;) {
        size_t total = 0, largest = 0;
        int pick = -1;
        for (unsigned i = 0; i < p->op_count; i++) {
            size_t floats = shard_floats_of(p->ops[i]);
            total += floats;
            if (stays[i] || !p->ops[i]->type->leave_shards || floats <= largest) continue;
            largest = floats;
            pick = (int)i;
        }
        if (total <= MOST_FLOATS || pick < 0) return;
        stays[pick] = !p->ops[pick]->type->leave_shards(p->ops[pick], p);
    }
}
