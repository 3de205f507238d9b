// SPDX-License-Identifier: MIT
// A plan is made here, from lowering to stages, and its ops are run on slices and in tasks.
#include "base/clock.h"
#include "base/memory.h"
#include "nn/plan/layout.h"
#include "nn/plan/lower.h"
#include "nn/plan/stages.h"
#include "nn/plan/updates.h"

static bool complete(struct shk_plan *p, struct shk_error *err) {
    p->logits = p->ops[p->op_count - 1]->in;
    if (p->training) shk_plan_bound_shards(p);
    for (unsigned i = 0; i < p->op_count; i++) p->ops[i]->type->declare(p->ops[i]);
    shk_plan_layout(p);
    if (p->training && !shk_plan_updates(p, err)) return false;
    return shk_plan_stages(p, err);
}

struct shk_plan *shk_plan_create(const struct shk_model *model, const struct shk_op_type *const *types, size_t batch,
                                 unsigned workers, bool training, struct shk_error *err) {
    struct shk_plan *p = shk_alloc(1, sizeof *p, "a plan", err);
    if (!p) return NULL;
    p->model = model;
    p->batch = batch;
    p->workers = workers;
    p->training = training;
    if (shk_lower(p, NULL, types, err) && complete(p, err)) return p;
    shk_plan_free(p);
    return NULL;
}

bool shk_plan_lay_out(struct shk_model *model, const struct shk_op_type *const *types, struct shk_error *err) {
    struct shk_plan *p = shk_alloc(1, sizeof *p, "a plan", err);
    if (!p) return false;
    p->model = model;
    bool ok = shk_lower(p, model, types, err);
    shk_plan_free(p);
    return ok;
}

void shk_plan_free(struct shk_plan *p) {
    if (!p) return;
    for (struct shk_constants *c = p->constants; c; c = p->constants) {
        p->constants = c->before;
        shk_free(c);
    }
    shk_free(p->op_memory);
    shk_free(p->updates);
    shk_free(p->stages);
    shk_free(p);
}

size_t shk_plan_bytes(const struct shk_plan *p) {
    return sizeof *p + p->op_bytes + p->update_count * sizeof *p->updates + p->stage_count * sizeof *p->stages;
}

// ---- Slices

static void run_op(const struct shk_plan *p, const struct shk_slice *s, unsigned i, enum shk_phase phase) {
    const struct shk_op *op = p->ops[i];
    if (!op->type->run[phase]) return;
    double start = s->times ? shk_seconds() : 0;
    op->type->run[phase](op, s);
    if (s->times) s->times->op[i][phase] += shk_seconds() - start;
}

void shk_plan_forward(const struct shk_plan *p, const struct shk_slice *s, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++) run_op(p, s, i, SHK_FORWARD);
}

void shk_plan_backward(const struct shk_plan *p, const struct shk_slice *s, unsigned first, unsigned end) {
    for (unsigned i = end; i-- > first;) {
        run_op(p, s, i, SHK_INPUT_GRADIENT);
        run_op(p, s, i, SHK_WEIGHT_GRADIENT);
    }
}

// ---- Tasks

size_t shk_plan_tasks(const struct shk_plan *p, const struct shk_stage *stage) {
    const struct shk_op *op = p->ops[stage->op];
    return op->type->tasks(op, stage->phase);
}

void shk_plan_begin_tasks(const struct shk_whole_batch *w, const struct shk_stage *stage, float *scratch) {
    const struct shk_op *op = w->plan->ops[stage->op];
    if (stage->phase != SHK_FORWARD && op->type->begin_tasks) op->type->begin_tasks(op, w, scratch);
}

void shk_plan_task(const struct shk_whole_batch *w, const struct shk_stage *stage, size_t task, float *scratch) {
    const struct shk_op *op = w->plan->ops[stage->op];
    op->type->task[stage->phase](op, w, task, scratch);
}

void shk_plan_gradient(const struct shk_whole_batch *w, const struct shk_update *u, float *scratch) {
    u->op->type->gradient(w, u, scratch);
}

bool shk_plan_applies_at_once(const struct shk_update *u) {
    return u->of_batch && u->op->type->applies_at_once && u->op->type->applies_at_once(u);
}

void shk_plan_gradient_and_rule(const struct shk_whole_batch *w, const struct shk_update *u,
                                const struct shk_rule *rule, float *scratch) {
    u->op->type->gradient_and_rule(w, u, rule, scratch);
}

uint32_t shk_update_rank(const struct shk_plan *plan, const struct shk_update *u, const struct shk_param *p) {
    return u->op->index * SHK_MAX_PARAMS + (uint32_t)(p - plan->model->params) + 1;
}
