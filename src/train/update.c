// SPDX-License-Identifier: MIT
// Gradients are added up here in the order that the cut says (nn/plan/cut.h), piece by piece.
#include "train/update.h"

#include "nn/plan/op.h"
#include <string.h>

struct shk_updater shk_updater_of(const struct shk_engine *e, float *scratch, uint32_t *bad) {
    const struct shk_train_options *o = &e->options;
    const struct shk_adam_options adam = {.lr = o->lr, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps};
    struct shk_updater u = {.engine = e, .scratch = scratch, .bad = bad};
    u.rule = (struct shk_rule){.kind = SHK_ADAM, .adam = shk_adam_at(&adam, e->steps + 1), .scale = 1};
    return u;
}

// For the floats from `at` on of the weights.
static struct shk_rule rule_at(const struct shk_updater *u, size_t at, bool *finite) {
    const struct shk_engine *e = u->engine;
    struct shk_rule rule = u->rule;
    rule.w = e->model->weights + at;
    rule.moments[0] = e->m + at;
    rule.moments[1] = e->v + at;
    rule.finite = finite;
    return rule;
}

static void report(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, bool finite) {
    uint32_t rank = shk_update_rank(u->engine->plan, task, p);
    if (!finite && rank > *u->bad) *u->bad = rank;
}

static bool is_frozen(const struct shk_updater *u, const struct shk_param *p) { return shk_is_frozen(u->engine, p); }

// Whether neither the update's parameter nor the bias that it takes in changes.
static bool is_idle(const struct shk_updater *u, const struct shk_update *task) {
    return is_frozen(u, task->param) && (!task->bias || is_frozen(u, task->op->bias));
}

// Gradients: the sum of some buffers, in groups (struct shk_apply_rule).
struct sources {
    const float *first;
    size_t count, stride, group;
};

static struct sources one_source(const float *gradients) { return (struct sources){gradients, 1, 0, 1}; }

// A block's shards, or its groups where these are added up already.
static struct sources shards_of(const struct shk_engine *e, const struct shk_round *r, size_t block, size_t at) {
    const struct shk_cut *c = &r->cut;
    const float *first = shk_round_grads(e, r, block * c->shards) + at;
    if (r->schedule.grouped) return (struct sources){first, c->groups, e->plan->shard_floats, 1};
    return (struct sources){first, c->shards, e->plan->shard_floats, c->group_shards};
}

// The rule on floats at .. at + n - 1 of the weights, which are of parameter p.
static void apply(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, size_t at,
                  size_t n, struct sources s) {
    bool finite = true;
    const struct shk_rule rule = rule_at(u, at, &finite);
    u->engine->k->apply_rule(&(struct shk_apply_rule){
        .n = n, .gradients = s.first, .stride = s.stride, .sources = s.count, .group = s.group, .rule = &rule});
    report(u, task, p, finite);
}

// The sum that the rule would take, bit by bit: group after group, of at most SHK_TILE_FLOATS.
static void add_up(const struct shk_updater *u, size_t n, struct sources s, float *out) {
    const struct shk_kernels *k = u->engine->k;
    float *group = u->scratch + SHK_OP_SCRATCH;
    for (size_t i = 0; i < s.count; i += s.group) {
        const float *first = s.first + i * s.stride;
        struct shk_column_sum sum = {.rows = (s.count - i < s.group ? s.count - i : s.group) - 1,
                                     .cols = n,
                                     .x = first + s.stride,
                                     .row = (ptrdiff_t)s.stride,
                                     .start = first,
                                     .sum = i == 0 ? out : group};
        k->column_sum(&sum);
        if (i > 0) k->add(&(struct shk_add){.rows = 1, .cols = n, .x = group, .y = out});
    }
}

// Where a sum belongs when it is complete.
struct target {
    const struct shk_update *task;
    const struct shk_param *param;
    size_t block, blocks;
};

// A sum of the block's gradients of floats at .. at + n - 1, which joins those of the blocks before.
static void join(const struct shk_updater *u, const struct target *t, size_t at, size_t n, float *sum) {
    const struct shk_engine *e = u->engine;
    const unsigned merges = shk_block_merges(t->block);
    for (unsigned l = 0; l < merges; l++)
        e->k->add(&(struct shk_add){.rows = 1, .cols = n, .x = e->levels + l * e->model->weight_floats + at, .y = sum});
    float *const kept = t->block + 1 < t->blocks ? e->levels + merges * e->model->weight_floats : e->gradients;
    if (kept)
        memcpy(kept + at, sum, n * sizeof *sum);
    else
        apply(u, t->task, t->param, at, n, one_source(sum));
}

// The gradients of floats at .. at + n - 1 of the weights.
static void take(const struct shk_updater *u, const struct target *t, size_t at, size_t n, struct sources s) {
    if (is_frozen(u, t->param)) return;
    if (t->blocks == 1 && !u->engine->gradients) {
        apply(u, t->task, t->param, at, n, s);
        return;
    }
    float *sum = u->scratch + SHK_OP_SCRATCH + SHK_TILE_FLOATS;
    for (size_t done = 0, length; done < n; done += length, s.first += length) {
        length = n - done < SHK_TILE_FLOATS ? n - done : SHK_TILE_FLOATS;
        add_up(u, length, s, sum);
        join(u, t, at + done, length, sum);
    }
}

// Weights whose gradient is applied tile by tile where it is made.
static void apply_at_once(const struct shk_updater *u, const struct shk_whole_batch *w, const struct shk_update *task) {
    bool finite = true;
    const struct shk_rule rule = rule_at(u, shk_update_at(task, 0), &finite);
    shk_plan_gradient_and_rule(w, task, &rule, u->scratch);
    report(u, task, task->param, finite);
}

// The packings that follow from the update's weights.
static void derive(const struct shk_engine *e, const struct shk_update *task) {
    const struct shk_param *p = task->param;
    if (!task->derives || shk_is_frozen(e, p)) return;
    const size_t width = p->layout == SHK_INPUT_TILES ? shk_tile_width(p, task->panel) : 16;
    for (size_t i = 0; i < shk_update_pieces(task); i++)
        shk_model_derive_rows(e->model, p, task->panel + i, task->row, task->length / width, e->k);
}

static struct shk_whole_batch samples_of(const struct shk_engine *e, const struct shk_round *r, size_t first,
                                         size_t end) {
    return (struct shk_whole_batch){e->plan,
                                    e->k,
                                    e->model->weights,
                                    e->model->derived,
                                    e->batch_space,
                                    .first = first - r->first,
                                    .samples = end - first,
                                    .cut = &r->cut,
                                    .round = r->first,
                                    .state = e->model->weights};
}

struct shk_whole_batch shk_block_of(const struct shk_engine *e, const struct shk_round *r, size_t block) {
    return samples_of(e, r, shk_block_first(&r->cut, block), shk_block_first(&r->cut, block + 1));
}

struct shk_whole_batch shk_round_of(const struct shk_engine *e, const struct shk_round *r) {
    return samples_of(e, r, r->first, r->end);
}

// Piece by piece, and the bias.
static void add_block(const struct shk_updater *u, const struct shk_round *r, const struct shk_update *task,
                      size_t block) {
    struct target t = {task, task->param, block, r->cut.blocks};
    const bool at_once =
        t.blocks == 1 && !u->engine->gradients && shk_plan_applies_at_once(task) && !is_frozen(u, task->param);
    if (task->of_batch) {
        const struct shk_whole_batch w = shk_block_of(u->engine, r, block);
        if (at_once)
            apply_at_once(u, &w, task);
        else
            shk_plan_gradient(&w, task, u->scratch);
    }
    struct sources s = task->of_batch ? one_source(u->scratch) : shards_of(u->engine, r, block, task->shard_grad);
    for (size_t i = 0; !at_once && i < shk_update_pieces(task); i++, s.first += task->length)
        take(u, &t, shk_update_at(task, i), task->length, s);
    if (!task->bias) return;
    size_t count, first = shk_update_bias(task, &count);
    t.param = task->op->bias;
    take(u, &t, t.param->offset + first, count, one_source(u->scratch + SHK_GRADIENT_FLOATS));
}

void shk_update_run(const struct shk_updater *u, const struct shk_round *r, const struct shk_update *task,
                    size_t block) {
    if (is_idle(u, task)) return;
    add_block(u, r, task, block);
    if (block + 1 == r->cut.blocks && !u->engine->gradients) derive(u->engine, task);
}

void shk_update_apply(const struct shk_updater *u, const struct shk_update *task) {
    const float *gradients = u->engine->gradients;
    for (size_t i = 0; !is_frozen(u, task->param) && i < shk_update_pieces(task); i++) {
        const size_t at = shk_update_at(task, i);
        apply(u, task, task->param, at, task->length, one_source(gradients + at));
    }
    derive(u->engine, task);
    if (!task->bias || is_frozen(u, task->op->bias)) return;
    const struct shk_param *bias = task->op->bias;
    size_t count, first = shk_update_bias(task, &count);
    apply(u, task, bias, bias->offset + first, count, one_source(gradients + bias->offset + first));
}
