// SPDX-License-Identifier: MIT
// A step runs the plan's stages one after the other, round after round of the batch's blocks.
#include "train/step.h"

#include "base/clock.h"
#include "train/update.h"
#include <math.h>

void shk_forward(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    size_t slice = e->plan->slice, tasks = (b->n + slice - 1) / slice;
    for (size_t task; shk_take(e->shares, tasks, worker, workers, &task);) {
        size_t start = task * slice, n = b->n - start < slice ? b->n - start : slice;
        shk_slice_forward(e, b, 0, e->plan->op_count, worker, start, n);
    }
    shk_barrier_wait(&e->barrier, workers, e->spin);
    shk_share_reset(&e->shares[worker]);
    shk_barrier_wait(&e->barrier, workers, e->spin);
}

// ---- The stages of a step

// What a worker knows of its step.
struct step {
    struct shk_engine *engine;
    struct shk_round round;
    struct shk_updater updater;
    unsigned worker, workers;
    float *scratch; // [SHK_TASK_SCRATCH]
};

// Seconds, where the time is recorded.
static double clock_of(const struct shk_engine *e) { return e->times ? shk_seconds() : 0; }

// Meets the others, and records how long that took.
static void meet(const struct step *s) {
    struct shk_engine *e = s->engine;
    double start = clock_of(e);
    shk_barrier_wait(&e->barrier, s->workers, e->spin);
    if (e->times) e->times[s->worker].wait += clock_of(e) - start;
}

static bool losses_finite(const struct shk_round *r) {
    for (size_t i = r->first; i < r->end; i++)
        if (!isfinite(r->batch->loss[i])) return false;
    return true;
}

static bool take(const struct step *s, struct shk_share *shares, size_t tasks, size_t *task) {
    return shk_take(shares, tasks, s->worker, s->workers, task);
}

// A task of an op for one block of the round. What the op makes ready for all tasks of a block lasts until another block's.
static void run_task(const struct step *s, const struct shk_stage *stage, size_t task, size_t block, size_t *ready) {
    const struct shk_whole_batch w =
        stage->of_batch ? shk_round_of(s->engine, &s->round) : shk_block_of(s->engine, &s->round, block);
    if (*ready != block) shk_plan_begin_tasks(&w, stage, s->scratch);
    *ready = block;
    shk_plan_task(&w, stage, task, s->scratch);
}

// An op's tasks, and the updates behind each.
static void run_tasks(const struct step *s, const struct shk_stage *stage, struct shk_share *shares) {
    const struct shk_engine *e = s->engine;
    const struct shk_update *updates = e->plan->updates + stage->first_update;
    const size_t tasks = shk_plan_tasks(e->plan, stage);
    const size_t open = stage->of_batch ? 1 : s->round.schedule.open;
    double seconds[2] = {0, 0};
    size_t ready = SIZE_MAX;
    for (size_t task; take(s, shares, tasks, &task);) {
        for (size_t block = s->round.first_block; block < s->round.first_block + open; block++) {
            double start = clock_of(e);
            run_task(s, stage, task, block, &ready);
            double middle = clock_of(e);
            for (size_t i = task * stage->updates; i < (task + 1) * stage->updates; i++)
                shk_update_run(&s->updater, &s->round, &updates[i], block);
            seconds[0] += middle - start;
            seconds[1] += clock_of(e) - middle;
        }
    }
    if (!e->times) return;
    e->times[s->worker].op[stage->op][stage->phase] += seconds[0];
    e->times[s->worker].op[stage->op][SHK_WEIGHT_GRADIENT] += seconds[1];
}

static void run_updates(const struct step *s, const struct shk_stage *stage, struct shk_share *shares) {
    const struct shk_update *updates = s->engine->plan->updates + stage->first_update;
    const struct shk_round *r = &s->round;
    for (size_t task; take(s, shares, stage->updates, &task);) {
        if (stage->kind == SHK_RULE) shk_update_apply(&s->updater, &updates[task]);
        for (size_t i = 0; stage->kind == SHK_UPDATES && i < r->schedule.open; i++)
            shk_update_run(&s->updater, r, &updates[task], r->first_block + i);
    }
}

static void sum_squares(const struct step *s, struct shk_share *shares) {
    const struct shk_engine *e = s->engine;
    for (size_t block; take(s, shares, shk_engine_norm_blocks(e), &block);) {
        size_t at = block * SHK_NORM_BLOCK, left = e->model->weight_floats - at;
        bool finite = true;
        struct shk_square_sum sum = {left < SHK_NORM_BLOCK ? left : SHK_NORM_BLOCK, e->gradients + at,
                                     e->square_sums + block * SHK_FLAG_STRIDE, &finite};
        e->k->square_sum(&sum);
        if (!finite) *s->updater.bad = 1;
    }
}

static void run_stage(const struct step *s, const struct shk_stage *stage, struct shk_share *shares) {
    const struct shk_engine *e = s->engine;
    const double start = clock_of(e);
    if (stage->kind == SHK_SLICES) shk_round_run(e, &s->round, stage, shares, s->worker, s->workers);
    if (stage->kind == SHK_TASKS) run_tasks(s, stage, shares);
    if (stage->kind == SHK_GRADIENT_NORM) sum_squares(s, shares);
    if (stage->kind == SHK_UPDATES || stage->kind == SHK_RULE) run_updates(s, stage, shares);
    if (e->times && stage->kind != SHK_SLICES && stage->kind != SHK_TASKS)
        e->times[s->worker].update += clock_of(e) - start;
}

// A stage's shares are reset during the next one, when nobody takes from them.
static void run_and_meet(const struct step *s, unsigned stage, unsigned before) {
    const struct shk_engine *e = s->engine;
    struct shk_share *shares = e->shares + stage * (size_t)e->workers;
    run_stage(s, &e->plan->stages[stage], shares);
    shk_share_reset(&e->shares[before * (size_t)e->workers + s->worker]);
    meet(s);
}

// ---- The whole step

// Of the first or the second flag of each worker.
static bool gradients_finite(const struct step *s, unsigned flag) {
    for (unsigned i = 0; i < s->workers; i++)
        if (s->engine->bad[i * SHK_FLAG_STRIDE + flag]) return false;
    return true;
}

// Every worker computes this alike. False: the norm is not finite.
static bool clip(const struct shk_engine *e, float *scale) {
    double sum = 0;
    for (size_t i = 0; i < shk_engine_norm_blocks(e); i++) sum += (double)e->square_sums[i * SHK_FLAG_STRIDE];
    double factor = isinf(e->clip_norm) ? 1 : e->clip_norm / (sqrt(sum) + 1e-6);
    *scale = factor < 1 ? (float)factor : 1;
    return isinf(e->clip_norm) || isfinite(sum);
}

// Only after the first stage can nobody have ended this step, and so cancelled the next one.
static enum shk_outcome run_round(struct step *s) {
    const struct shk_plan *p = s->engine->plan;
    const unsigned last = p->stage_count - 1 + (s->engine->gradients && s->round.index == 0 ? SHK_CLIP_STAGES : 0);
    for (unsigned i = 0; i < p->stage_count; i++) {
        run_and_meet(s, i, i ? i - 1 : last);
        if (i == 0 && s->round.index == 0) {
            if (s->engine->cancelled) return SHK_STEP_CANCELLED;
            s->updater = shk_updater_of(s->engine, s->scratch, &s->engine->bad[s->worker * SHK_FLAG_STRIDE]);
        }
        if ((p->stages[i].publishes & SHK_PUBLISHES_LOSSES) && !losses_finite(&s->round)) return SHK_STEP_BAD_LOSS;
    }
    return SHK_STEP_DONE;
}

static enum shk_outcome run_clipping(struct step *s) {
    const unsigned norm = s->engine->plan->stage_count;
    run_and_meet(s, norm, norm - 1);
    if (!gradients_finite(s, 0) || !clip(s->engine, &s->updater.rule.scale)) return SHK_STEP_BAD_GRADIENT;
    s->updater.bad++; // the first flags may still be read
    run_and_meet(s, norm + 1, norm);
    return SHK_STEP_DONE;
}

enum shk_outcome shk_train_step(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    struct step s = {e, shk_round_first(e, b, workers), .worker = worker, .workers = workers};
    s.scratch = shk_engine_scratch(e, worker);
    enum shk_outcome outcome;
    do outcome = run_round(&s);
    while (outcome == SHK_STEP_DONE && shk_round_next(&s.round));
    if (outcome == SHK_STEP_DONE && e->gradients) outcome = run_clipping(&s);
    if (outcome != SHK_STEP_DONE) return outcome;
    if (!gradients_finite(&s, 0) || !gradients_finite(&s, 1)) return SHK_STEP_BAD_GRADIENT;
    if (worker == 0) e->steps++;
    return SHK_STEP_DONE;
}
