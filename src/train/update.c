// SPDX-License-Identifier: MIT
#include "train/update.h"

#include <math.h>

// base^n by squaring: a function of its arguments alone, unlike libm's pow.
static double power(double base, size_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

struct shk_updater shk_updater_of(const struct shk_engine *e, float *scratch, bool *finite) {
    const struct shk_adam_options *o = &e->adam;
    size_t step = e->steps + 1;
    double bc1 = 1 - power(o->beta1, step), bc2 = 1 - power(o->beta2, step);
    struct shk_updater u = {.engine = e, .scratch = scratch};
    u.adam = (struct shk_adam){.beta1 = (float)o->beta1,
                               .one_minus_beta1 = (float)(1 - o->beta1),
                               .beta2 = (float)o->beta2,
                               .one_minus_beta2 = (float)(1 - o->beta2),
                               .eps = (float)o->eps,
                               .step_size = (float)(o->lr / bc1),
                               .inv_sqrt_bc2 = (float)(1 / sqrt(bc2)),
                               .finite = finite};
    return u;
}

// Adam on floats at .. at + n - 1 of the weights.
static void apply(const struct shk_updater *u, size_t at, size_t n, const float *gradients, size_t sources) {
    const struct shk_engine *e = u->engine;
    struct shk_adam adam = u->adam;
    adam.n = n;
    adam.w = e->model->weights + at;
    adam.m = e->m + at;
    adam.v = e->v + at;
    adam.gradients = gradients;
    adam.stride = e->plan->shard_floats;
    adam.sources = sources;
    e->k->adam(&adam);
}

static void run_from_shards(const struct shk_updater *u, size_t shards, const struct shk_update *task) {
    const struct shk_engine *e = u->engine;
    apply(u, task->param->offset + task->start, task->length, e->shard_grads + task->shard_grad, shards);
    if (task->panels) shk_param_derive(e->model, task->param, task->panel, 0, task->param->row, e->k);
}

// Panel by panel, and their bias; or a bias alone. The batch layer transposes its weights as it needs them.
static void run_from_batch(const struct shk_updater *u, const struct shk_whole_batch *w,
                           const struct shk_update *task) {
    const struct shk_engine *e = u->engine;
    const struct shk_param *p = task->param;
    bool batch_layer = shk_is_batch_layer(e->plan, task->batch_op);
    shk_batch_gradient(w, task, u->scratch);
    if (task->panels == 0) apply(u, p->offset + task->start, task->length, u->scratch, 1);
    for (size_t i = 0; i < task->panels; i++) {
        apply(u, p->offset + task->start + i * p->row * 16, task->length, u->scratch + i * task->length, 1);
        if (!batch_layer) shk_param_derive(e->model, p, task->panel + i, task->row, task->length / 16, e->k);
    }
    size_t column = task->panel * 16, columns = task->panels * 16;
    if (task->bias) apply(u, task->batch_op->bias->offset + column, columns, u->scratch + SHK_GRADIENT_FLOATS, 1);
}

void shk_update_run(const struct shk_updater *u, const struct shk_whole_batch *w, const struct shk_update *task) {
    if (task->batch_op)
        run_from_batch(u, w, task);
    else
        run_from_shards(u, shk_shards_of(w->plan, w->samples), task);
}
