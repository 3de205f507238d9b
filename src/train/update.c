// SPDX-License-Identifier: MIT
#include "train/update.h"

#include "nn/plan/op.h"
#include <math.h>

// base^n by squaring: a function of its arguments alone, unlike libm's pow.
static double power(double base, size_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

struct shk_updater shk_updater_of(const struct shk_engine *e, bool grouped, float *scratch, uint32_t *bad) {
    const struct shk_adam_options *o = &e->adam;
    size_t step = e->steps + 1;
    double bc1 = 1 - power(o->beta1, step), bc2 = 1 - power(o->beta2, step);
    struct shk_updater u = {.engine = e, .grouped = grouped, .scratch = scratch, .bad = bad};
    u.adam = (struct shk_adam){.beta1 = (float)o->beta1,
                               .one_minus_beta1 = (float)(1 - o->beta1),
                               .beta2 = (float)o->beta2,
                               .one_minus_beta2 = (float)(1 - o->beta2),
                               .eps = (float)o->eps,
                               .step_size = (float)(o->lr / bc1),
                               .inv_sqrt_bc2 = (float)(1 / sqrt(bc2)),
                               .scale = 1};
    return u;
}

// Adam on the floats from `at` on of the weights.
static struct shk_adam adam_at(const struct shk_updater *u, size_t at, bool *finite) {
    const struct shk_engine *e = u->engine;
    struct shk_adam adam = u->adam;
    adam.w = e->model->weights + at;
    adam.m = e->m + at;
    adam.v = e->v + at;
    adam.finite = finite;
    return adam;
}

static void report(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, bool finite) {
    uint32_t rank = shk_update_rank(u->engine->plan, task, p);
    if (!finite && rank > *u->bad) *u->bad = rank;
}

// Gradients: the sum of some buffers, in groups (struct shk_adam).
struct sources {
    const float *first;
    size_t count, stride, group;
};

static struct sources one_source(const float *gradients) { return (struct sources){gradients, 1, 0, 1}; }

static struct sources shards_of(const struct shk_updater *u, const struct shk_update *task, size_t samples) {
    const struct shk_engine *e = u->engine;
    size_t shards = shk_shards_of(e->plan, samples), floats = e->plan->shard_floats;
    struct sources s = {e->shard_grads + task->shard_grad, shards, floats, SHK_SHARD_GROUP};
    if (task->groupable && u->grouped) {
        s.count = (shards + SHK_SHARD_GROUP - 1) / SHK_SHARD_GROUP;
        s.stride = SHK_SHARD_GROUP * floats;
        s.group = 1;
    }
    return s;
}

// Adam on floats at .. at + n - 1 of the weights, which are of parameter p.
static void apply(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, size_t at,
                  size_t n, struct sources s) {
    bool finite = true;
    struct shk_adam adam = adam_at(u, at, &finite);
    adam.n = n;
    adam.gradients = s.first;
    adam.sources = s.count;
    adam.stride = s.stride;
    adam.group = s.group;
    u->engine->k->adam(&adam);
    report(u, task, p, finite);
}

// The sum that Adam would take, bit by bit: group after group in u->scratch.
static void collect(const struct shk_updater *u, size_t at, size_t n, struct sources s) {
    const struct shk_kernels *k = u->engine->k;
    float *out = u->engine->gradients + at;
    for (size_t i = 0; i < s.count; i += s.group) {
        const float *first = s.first + i * s.stride;
        struct shk_column_sum sum = {.rows = (s.count - i < s.group ? s.count - i : s.group) - 1,
                                     .cols = n,
                                     .x = first + s.stride,
                                     .row = (ptrdiff_t)s.stride,
                                     .start = first,
                                     .sum = i == 0 ? out : u->scratch};
        k->column_sum(&sum);
        if (i > 0) k->add(&(struct shk_add){.rows = 1, .cols = n, .x = u->scratch, .y = out});
    }
}

static void take(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, size_t at,
                 size_t n, struct sources s, enum shk_update_part part) {
    if (part == SHK_GRADIENT_PART)
        collect(u, at, n, s);
    else if (part == SHK_RULE_PART)
        apply(u, task, p, at, n, one_source(u->engine->gradients + at));
    else
        apply(u, task, p, at, n, s);
}

// Weights whose gradient is applied tile by tile where it is made.
static void apply_at_once(const struct shk_updater *u, const struct shk_whole_batch *w, const struct shk_update *task) {
    bool finite = true;
    struct shk_adam adam = adam_at(u, shk_update_at(task, 0), &finite);
    shk_plan_gradient_and_rule(w, task, &adam, u->scratch);
    report(u, task, task->param, finite);
}

// The packing of a piece.
static void derive(const struct shk_engine *e, const struct shk_update *task, size_t piece) {
    const struct shk_param *p = task->param;
    if (!task->derives) return;
    size_t width = p->layout == SHK_INPUT_TILES ? shk_tile_width(p, task->panel) : 16;
    shk_model_derive_rows(e->model, p, task->panel + piece, task->row, task->length / width, e->k);
}

// Piece by piece, and the bias.
void shk_update_run(const struct shk_updater *u, const struct shk_whole_batch *w, const struct shk_update *task,
                    enum shk_update_part part) {
    struct sources s = task->of_batch ? one_source(u->scratch) : shards_of(u, task, w->samples);
    bool at_once = part == SHK_WHOLE_UPDATE && shk_plan_applies_at_once(task);
    if (at_once)
        apply_at_once(u, w, task);
    else if (task->of_batch && part != SHK_RULE_PART)
        shk_plan_gradient(w, task, u->scratch);
    for (size_t i = 0; i < shk_update_pieces(task); i++) {
        if (!at_once) take(u, task, task->param, shk_update_at(task, i), task->length, s, part);
        if (part != SHK_GRADIENT_PART) derive(u->engine, task, i);
        s.first += task->length;
    }
    if (!task->bias) return;
    const struct shk_param *bias = task->op->bias;
    size_t count, first = shk_update_bias(task, &count);
    take(u, task, bias, bias->offset + first, count, one_source(u->scratch + SHK_GRADIENT_FLOATS), part);
}
