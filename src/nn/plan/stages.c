// SPDX-License-Identifier: MIT
// The samples' way, forward through all ops and back, is parted by the tasks of the op that deals out its work; updates follow.
#include "nn/plan/stages.h"

static struct shk_stage slices(const struct shk_plan *p, unsigned forward, unsigned forward_end, unsigned backward,
                               unsigned backward_end) {
    struct shk_stage s = {SHK_SLICES, SHK_PUBLISHES_BATCH, forward, forward_end, backward, backward_end, .op = 0};
    if (forward_end == p->op_count) s.publishes |= SHK_PUBLISHES_LOSSES;
    if (backward < backward_end) s.publishes |= SHK_PUBLISHES_SHARDS;
    return s;
}

static struct shk_stage tasks(const struct shk_plan *p, enum shk_phase phase) {
    struct shk_stage s = {
        .kind = SHK_TASKS, .publishes = SHK_PUBLISHES_BATCH, .op = (unsigned)p->dealt, .phase = phase};
    if (phase == SHK_FORWARD) return s;
    s.publishes |= SHK_PUBLISHES_WEIGHTS;
    s.updates = p->ops[p->dealt]->type->task_updates(p->ops[p->dealt]);
    return s;
}

void shk_plan_stages(struct shk_plan *p) {
    unsigned n = p->op_count, dealt = p->dealt < 0 ? 0 : (unsigned)p->dealt;
    struct shk_stage *s = p->stages;
    if (dealt) {
        *s++ = slices(p, 0, dealt, 0, 0);
        *s++ = tasks(p, SHK_FORWARD);
    }
    *s++ = slices(p, dealt, n, dealt, n);
    if (dealt) {
        *s++ = tasks(p, SHK_INPUT_GRADIENT);
        *s++ = slices(p, 0, 0, 0, dealt);
    }
    *s++ = (struct shk_stage){.kind = SHK_UPDATES,
                              .publishes = SHK_PUBLISHES_WEIGHTS,
                              .first_update = p->dealt_updates,
                              .updates = p->update_count - p->dealt_updates};
    p->stage_count = (unsigned)(s - p->stages);
    *s++ = (struct shk_stage){.kind = SHK_GRADIENT_NORM, .publishes = SHK_PUBLISHES_SQUARES};
    *s++ = (struct shk_stage){.kind = SHK_RULE, .publishes = SHK_PUBLISHES_WEIGHTS, .updates = p->update_count};
}

static unsigned lower(unsigned a, unsigned b) { return a < b ? a : b; }

void shk_plan_end_at(struct shk_plan *p, unsigned first) {
    for (struct shk_stage *s = p->stages; s < p->stages + p->stage_count; s++) {
        if (s->kind == SHK_SLICES && s->backward < first) s->backward = lower(first, s->backward_end);
        if (s->kind == SHK_TASKS && s->phase != SHK_FORWARD && s->op < first)
            *s = (struct shk_stage){.kind = SHK_UPDATES, .publishes = s->publishes}; // none
    }
}
