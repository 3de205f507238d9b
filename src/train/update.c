// SPDX-License-Identifier: MIT
#include "train/update.h"

#include <math.h>
#include <string.h>

// base^n by squaring: a function of its arguments alone, unlike libm's pow.
static double power(double base, size_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

struct shk_updater shk_updater_of(const struct shk_engine *e, float *scratch, uint32_t *bad) {
    const struct shk_adam_options *o = &e->adam;
    size_t step = e->steps + 1;
    double bc1 = 1 - power(o->beta1, step), bc2 = 1 - power(o->beta2, step);
    struct shk_updater u = {.engine = e, .scratch = scratch, .bad = bad};
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

// Adam on floats at .. at + n - 1 of the weights, which are of parameter p.
static void apply(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, size_t at,
                  size_t n, const float *gradients, size_t sources) {
    bool finite = true;
    struct shk_adam adam = adam_at(u, at, &finite);
    adam.n = n;
    adam.gradients = gradients;
    adam.stride = u->engine->plan->shard_floats;
    adam.sources = sources;
    u->engine->k->adam(&adam);
    report(u, task, p, finite);
}

// The sum that Adam would take, bit by bit.
static void collect(const struct shk_engine *e, size_t at, size_t n, const float *gradients, size_t sources) {
    struct shk_column_sum sum = {.rows = sources - 1,
                                 .cols = n,
                                 .x = gradients + e->plan->shard_floats,
                                 .row = (ptrdiff_t)e->plan->shard_floats,
                                 .start = gradients,
                                 .sum = e->gradients + at};
    if (sources == 1)
        memcpy(e->gradients + at, gradients, n * sizeof(float));
    else
        e->k->column_sum(&sum);
}

static void take(const struct shk_updater *u, const struct shk_update *task, const struct shk_param *p, size_t at,
                 size_t n, const float *gradients, size_t sources, enum shk_update_part part) {
    if (part == SHK_GRADIENT_PART)
        collect(u->engine, at, n, gradients, sources);
    else if (part == SHK_OPTIMIZER_PART)
        apply(u, task, p, at, n, u->engine->gradients + at, 1);
    else
        apply(u, task, p, at, n, gradients, sources);
}

// Weights whose gradient is applied tile by tile where it is made.
static void apply_at_once(const struct shk_updater *u, const struct shk_whole_batch *w, const struct shk_update *task) {
    bool finite = true;
    struct shk_adam adam = adam_at(u, shk_update_at(task, 0), &finite);
    shk_batch_update(w, task, &adam, u->scratch);
    report(u, task, task->param, finite);
}

// The packing of a piece. The batch layer transposes panels as it needs them.
static void derive(const struct shk_engine *e, const struct shk_update *task, size_t piece) {
    const struct shk_param *p = task->param;
    bool tile = p->layout == SHK_INPUT_TILES;
    if (!task->panels || (!tile && task->batch_op && shk_is_batch_layer(e->plan, task->batch_op))) return;
    size_t width = tile ? shk_tile_width(p, task->panel) : 16;
    shk_param_derive(e->model, p, task->panel + piece, task->row, task->length / width, e->k);
}

// Piece by piece, and the bias.
void shk_update_run(const struct shk_updater *u, const struct shk_whole_batch *w, const struct shk_update *task,
                    enum shk_update_part part) {
    const struct shk_engine *e = u->engine;
    const struct shk_op *op = task->batch_op;
    const float *gradients = op ? u->scratch : e->shard_grads + task->shard_grad;
    size_t sources = op ? 1 : shk_shards_of(w->plan, w->samples);
    bool at_once = part == SHK_WHOLE_UPDATE && task->param->layout == SHK_INPUT_TILES;
    if (at_once)
        apply_at_once(u, w, task);
    else if (op && part != SHK_OPTIMIZER_PART)
        shk_batch_gradient(w, task, u->scratch);
    for (size_t i = 0; i < shk_update_pieces(task); i++) {
        if (!at_once)
            take(u, task, task->param, shk_update_at(task, i), task->length, gradients + i * task->length, sources,
                 part);
        if (part != SHK_GRADIENT_PART) derive(e, task, i);
    }
    if (!task->bias) return;
    size_t count, first = shk_update_bias(task, &count);
    take(u, task, op->bias, op->bias->offset + first, count, u->scratch + SHK_GRADIENT_FLOATS, 1, part);
}
