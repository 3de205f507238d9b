// SPDX-License-Identifier: MIT
// Memory on several NUMA nodes: a page lies on the node of the thread that touches it first, so each worker touches its own
// workspace, the gradients of its shards, and what belongs to its update tasks (equal shares, as shk_take hands them out).
#include "base/memory.h"
#include "train/engine.h"
#include <string.h>

struct placement {
    struct shk_engine *e;
    float *weights, *derived; // the model's new ones, untouched
};

static void touch(float *at, size_t floats) { memset(at, 0, floats * sizeof *at); }

// The worker's equal part of n.
static size_t part(size_t n, unsigned worker, unsigned workers, size_t *count) {
    size_t first = n * worker / workers;
    *count = n * (worker + 1) / workers - first;
    return first;
}

// What update tasks first .. first + n - 1 write.
static void touch_updates(const struct placement *p, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++) {
        const struct shk_update *u = &p->e->plan->updates[i];
        for (size_t piece = 0; piece < shk_update_pieces(u); piece++) {
            size_t at = shk_update_at(u, piece);
            touch(p->weights + at, u->length);
            touch(p->e->m + at, u->length);
            touch(p->e->v + at, u->length);
            if (p->e->gradients) touch(p->e->gradients + at, u->length);
            for (unsigned l = 0; l < p->e->level_count; l++)
                touch(p->e->levels + l * p->e->model->weight_floats + at, u->length);
        }
    }
}

static void place_worker(void *arg, unsigned worker, unsigned workers) {
    const struct placement *p = arg;
    struct shk_engine *e = p->e;
    const struct shk_plan *plan = e->plan;
    size_t n, first = part(e->grad_buffers, worker, workers, &n);
    touch(e->workspaces + worker * e->workspace_stride, e->workspace_stride);
    touch(e->grads + first * plan->shard_floats, n * plan->shard_floats);
    touch(e->grads + (e->grad_buffers + worker) * plan->shard_floats, plan->shard_floats);
    first = part(e->model->derived_floats, worker, workers, &n);
    touch(p->derived + first, n);
    for (unsigned i = 0; i < plan->stage_count; i++) {
        const struct shk_stage *stage = &plan->stages[i];
        size_t each = stage->kind == SHK_TASKS ? stage->updates : 1;
        size_t tasks = stage->kind == SHK_TASKS ? shk_plan_tasks(plan, stage) : stage->updates;
        first = part(tasks, worker, workers, &n);
        touch_updates(p, stage->first_update + first * each, n * each);
    }
}

bool shk_engine_first_touch(struct shk_engine *e, const struct shk_team *team, struct shk_error *err) {
    struct shk_model *m = e->model;
    struct placement p = {.e = e};
    p.weights = shk_alloc_untouched(m->weight_floats, sizeof(float), team->workers, "weights", err);
    p.derived = shk_alloc_untouched(m->derived_floats + 16, sizeof(float), team->workers, "packed weights", err);
    if (!p.weights || !p.derived) {
        shk_free(p.weights);
        shk_free(p.derived);
        return false;
    }
    team->run(team, place_worker, &p);
    memcpy(p.weights, m->weights, m->weight_floats * sizeof(float));
    memcpy(p.derived, m->derived, (m->derived_floats + 16) * sizeof(float));
    shk_free(m->weights);
    shk_free(m->derived);
    m->weights = p.weights;
    m->derived = p.derived;
    return true;
}
