// SPDX-License-Identifier: MIT
// The samples' way, forward through all ops and back, is parted by the tasks of ops that want all samples; updates follow.
#include "nn/plan/stages.h"

#include "base/memory.h"
#include "nn/plan/layout.h"

static void add_slices(struct shk_plan *p, unsigned forward, unsigned forward_end, unsigned backward,
                       unsigned backward_end) {
    struct shk_stage s = {SHK_SLICES, SHK_PUBLISHES_BATCH, forward, forward_end, backward, backward_end, .op = 0};
    s.slice = shk_plan_slice_of(p, &s);
    if (forward_end == p->op_count) s.publishes |= SHK_PUBLISHES_LOSSES;
    if (backward < backward_end) s.publishes |= SHK_PUBLISHES_SHARDS;
    p->stages[p->stage_count++] = s;
}

static void add_tasks(struct shk_plan *p, unsigned op, enum shk_phase phase) {
    struct shk_stage s = {.kind = SHK_TASKS, .publishes = SHK_PUBLISHES_BATCH, .op = op, .phase = phase};
    s.of_batch = p->ops[op]->of_batch;
    const struct shk_op_type *type = p->ops[op]->type;
    if (phase != SHK_FORWARD && type->task_updates) {
        s.publishes |= SHK_PUBLISHES_WEIGHTS;
        s.updates = type->task_updates(p->ops[op]);
    }
    p->stages[p->stage_count++] = s;
}

// The last op in front of `end` at which all meet; 0: none.
static unsigned meeting_before(const struct shk_plan *p, unsigned end) {
    while (end-- > 0)
        if (p->ops[end]->meets) return end;
    return 0;
}

static unsigned meetings(const struct shk_plan *p) {
    unsigned count = 0;
    for (unsigned i = 0; i < p->op_count; i++) count += p->ops[i]->meets;
    return count;
}

bool shk_plan_stages(struct shk_plan *p, struct shk_error *err) {
    const unsigned n = p->op_count;
    p->stages = shk_alloc(4 * meetings(p) + 2 + SHK_CLIP_STAGES, sizeof *p->stages, "the stages of a plan", err);
    if (!p->stages) return false;
    unsigned at = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!p->ops[i]->meets) continue;
        add_slices(p, at, i, 0, 0);
        add_tasks(p, i, SHK_FORWARD);
        at = i;
    }
    add_slices(p, at, n, at, n);
    for (unsigned before; at; at = before) {
        before = meeting_before(p, at);
        add_tasks(p, at, SHK_INPUT_GRADIENT);
        add_slices(p, 0, 0, before, at);
    }
    p->stages[p->stage_count++] = (struct shk_stage){.kind = SHK_UPDATES,
                                                     .publishes = SHK_PUBLISHES_WEIGHTS,
                                                     .first_update = p->dealt_updates,
                                                     .updates = p->update_count - p->dealt_updates};
    struct shk_stage *clip = p->stages + p->stage_count;
    clip[0] = (struct shk_stage){.kind = SHK_GRADIENT_NORM, .publishes = SHK_PUBLISHES_SQUARES};
    clip[1] = (struct shk_stage){.kind = SHK_RULE, .publishes = SHK_PUBLISHES_WEIGHTS, .updates = p->update_count};
    return true;
}

static unsigned lower(unsigned a, unsigned b) { return a < b ? a : b; }

void shk_plan_end_at(struct shk_plan *p, unsigned first) {
    for (struct shk_stage *s = p->stages; s < p->stages + p->stage_count; s++) {
        if (s->kind == SHK_SLICES && s->backward < first) s->backward = lower(first, s->backward_end);
        if (s->kind == SHK_TASKS && s->phase != SHK_FORWARD && s->op < first)
            *s = (struct shk_stage){.kind = SHK_UPDATES, .publishes = s->publishes}; // none
    }
}
