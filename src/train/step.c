// SPDX-License-Identifier: MIT
#include "train/step.h"

#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include "nn/ops/ops.h"
#include "train/update.h"
#include <math.h>
#include <string.h>

enum { NORM_BLOCK = 4096 }; // floats whose squares a call of the kernel adds up

// Memory of which each worker has a part. On several NUMA nodes the workers touch theirs first: shk_engine_place.
static void *alloc(const struct shk_team *team, size_t count, size_t size, const char *what, struct shk_error *err) {
    if (team->many_nodes) return shk_alloc_untouched(count, size, team->workers, what, err);
    return shk_alloc(count, size, what, err);
}

// A weight and its moments are read and written together. At the same place in their pages they share sets of L1, and a
// load may be taken for one of what was just stored; a third of a page apart fc1's update was measured to be faster.
enum { PAGE_FLOATS = 1024, THIRD = 336 };

// The first address from p on that is `apart` floats behind `from` in their pages; all are multiples of 64 bytes.
static float *apart_from(const float *from, size_t apart, float *p) {
    const size_t floats = ((uintptr_t)from - (uintptr_t)p) / sizeof(float) + apart;
    return p + floats % PAGE_FLOATS;
}

static bool place_moments(struct shk_engine *e, const struct shk_team *team, struct shk_error *err) {
    const size_t n = e->model->weight_floats;
    e->moments = alloc(team, 2 * (n + PAGE_FLOATS), sizeof(float), "the optimizer's state", err);
    if (!e->moments) return false;
    e->m = apart_from(e->model->weights, THIRD, e->moments);
    e->v = apart_from(e->model->weights, 2 * THIRD, e->m + n);
    return true;
}

bool shk_engine_init(struct shk_engine *e, struct shk_model *model, const struct shk_runtime *runtime, size_t batch,
                     size_t shards, bool training, struct shk_error *err) {
    const struct shk_team *team = &runtime->team;
    *e = (struct shk_engine){
        .k = runtime->kernels, .model = model, .workers = team->workers, .spin = shk_team_spin(team)};
    fenv_t saved = shk_fpenv_enter();
    e->plan = shk_plan_create(model, shk_ops, batch, shards, e->workers, training, err);
    shk_fpenv_leave(&saved);
    if (!e->plan) return false;
    size_t floats = e->plan->workspace_floats + e->plan->scratch_bytes / sizeof(float) + SHK_TASK_SCRATCH;
    e->workspace_stride = ((floats + 1023) & ~(size_t)1023) + 16; // own pages, not all on the same cache sets
    e->workspaces = alloc(team, e->workers, e->workspace_stride * sizeof(float), "the workers' activations", err);
    e->bad = shk_alloc(e->workers, SHK_FLAG_STRIDE * sizeof *e->bad, "flags", err);
    e->shares = shk_alloc(SHK_MAX_STAGES * (size_t)e->workers, sizeof *e->shares, "task shares", err);
    bool ok = e->workspaces && e->bad && e->shares;
    if (training && ok) {
        e->batch_space = alloc(team, e->plan->batch_floats + 16, sizeof(float), "the batch's activations", err);
        e->shard_grads =
            alloc(team, e->plan->shards, e->plan->shard_floats * sizeof(float) + 64, "the shards' gradients", err);
        ok = e->batch_space && e->shard_grads && place_moments(e, team, err);
    }
    if (ok)
        shk_engine_start(e);
    else
        shk_engine_free(e);
    return ok;
}

static size_t norm_blocks(const struct shk_engine *e) {
    return (e->model->weight_floats + NORM_BLOCK - 1) / NORM_BLOCK;
}

bool shk_engine_clip(struct shk_engine *e, const struct shk_team *team, double clip_norm, struct shk_error *err) {
    e->clip_norm = clip_norm;
    e->gradients = alloc(team, e->model->weight_floats, sizeof(float), "the gradients", err);
    e->square_sums = shk_alloc(norm_blocks(e), SHK_FLAG_STRIDE * sizeof(float), "the gradients' norm", err);
    return e->gradients && e->square_sums;
}

void shk_engine_free(struct shk_engine *e) {
    shk_plan_free(e->plan);
    shk_free(e->workspaces);
    shk_free(e->bad);
    shk_free(e->shares);
    shk_free(e->times);
    shk_free(e->batch_space);
    shk_free(e->shard_grads);
    shk_free(e->moments);
    shk_free(e->gradients);
    shk_free(e->square_sums);
    *e = (struct shk_engine){0};
}

void shk_engine_start(struct shk_engine *e) {
    fenv_t saved = shk_fpenv_enter();
    if (e->plan->training) shk_model_derive(e->model, e->k);
    shk_fpenv_leave(&saved);
    e->cancelled = false;
    memset(e->bad, 0, e->workers * SHK_FLAG_STRIDE * sizeof *e->bad);
    memset(e->shares, 0, SHK_MAX_STAGES * e->workers * sizeof *e->shares);
}

void shk_engine_forget(struct shk_engine *e) {
    memset(e->m, 0, e->model->weight_floats * sizeof(float));
    memset(e->v, 0, e->model->weight_floats * sizeof(float));
    e->steps = 0;
}

static float *workspace_of(const struct shk_engine *e, unsigned worker) {
    return e->workspaces + worker * e->workspace_stride;
}

static float *task_scratch(const struct shk_engine *e, unsigned worker) {
    return workspace_of(e, worker) + e->plan->workspace_floats + e->plan->scratch_bytes / sizeof(float);
}

// ---- Samples ----

enum { FETCHED = 4096 }; // floats of an image, more than which L2 should not be asked to keep

// A sample's image lies anywhere in memory: fetched one slice ahead, to L2.
static void fetch_image(const struct shk_batch *b, const struct shk_shape *shape, size_t sample) {
    if (sample >= b->n) return;
    const float *image = shk_dataset_image(b->data, b->ids ? b->ids[sample] : sample);
    const size_t floats = shape->height * shape->width * shape->channels;
    for (size_t i = 0; i < floats && i < FETCHED; i += 16) __builtin_prefetch(image + i, 0, 2);
}

void shk_run_slice(const struct shk_engine *e, const struct shk_batch *b, const struct shk_stage *stage,
                   unsigned worker, struct shk_part part) {
    const size_t start = part.start, n = part.samples;
    const float *images[SHK_MAX_SLICE];
    uint32_t labels[SHK_MAX_SLICE], ids[SHK_MAX_SLICE];
    for (size_t i = 0; i < n; i++) {
        ids[i] = b->ids ? b->ids[start + i] : (uint32_t)(start + i);
        images[i] = shk_dataset_image(b->data, ids[i]);
        labels[i] = b->data->labels[ids[i]];
    }
    const struct shk_plan *p = e->plan;
    float *workspace = workspace_of(e, worker);
    struct shk_slice slice = {.plan = p,
                              .k = e->k,
                              .weights = e->model->weights,
                              .derived = e->model->derived,
                              .workspace = workspace,
                              .batch_space = e->batch_space,
                              .scratch = workspace + p->workspace_floats,
                              .first = start,
                              .samples = n,
                              .batch_samples = b->n,
                              .images = images,
                              .labels = labels,
                              .ids = ids,
                              .shard = part.shard,
                              .shards = part.shards,
                              .grouped = part.grouped,
                              .shard_grads = e->shard_grads,
                              .loss = b->loss + start,
                              .predicted = b->predicted + start,
                              .seed = e->seed,
                              .epoch = b->epoch,
                              .times = e->times ? &e->times[worker] : NULL};
    shk_plan_forward(p, &slice, stage->forward, stage->forward_end);
    if (stage->forward == 0) fetch_image(b, &e->model->shape, start + n);
    shk_plan_backward(p, &slice, stage->backward, stage->backward_end);
}

// The shard that sample i of the batch belongs to.
static size_t shard_of(size_t i, size_t samples, size_t shards) {
    size_t s = i * shards / samples;
    while (s + 1 < shards && shk_shard_start(samples, shards, s + 1) <= i) s++;
    return s;
}

// Tasks of so many consecutive shards; grouped: they are whole groups, and each shard fits a slice.
struct tasks {
    size_t shards;
    bool grouped;
};

// Shards that the worker with the most of them takes, in tasks of n.
static size_t most_shards(size_t shards, size_t n, unsigned workers) {
    size_t tasks = (shards + n - 1) / n;
    return (tasks + workers - 1) / workers * n;
}

// The best multiple of `unit`, the largest of equally good ones.
static size_t best_task(size_t shards, size_t unit, size_t most, unsigned workers) {
    size_t best = unit;
    for (size_t n = unit; n <= most; n += unit)
        if (most_shards(shards, n, workers) <= most_shards(shards, best, workers)) best = n;
    return best;
}

// As many shards as fit a slice, unless that leaves workers idle; whole groups, where that does not. No effect on the bits.
static struct tasks tasks_of(const struct shk_plan *p, size_t samples, size_t shards, unsigned workers) {
    size_t fit = p->slice * shards / samples;
    struct tasks t = {.shards = best_task(shards, 1, fit, workers)};
    if (!p->grouped_floats || fit == 0) return t;
    size_t groups = best_task(shards, SHK_SHARD_GROUP, fit, workers);
    if (most_shards(shards, groups, workers) > most_shards(shards, t.shards, workers)) return t;
    return (struct tasks){groups, true};
}

// The shards from `first` on, and before `end`, that fit a slice: one past the last.
static size_t slice_end(const struct shk_plan *p, size_t samples, size_t shards, size_t first, size_t end) {
    size_t start = shk_shard_start(samples, shards, first), last = first + 1;
    while (last < end && shk_shard_start(samples, shards, last + 1) - start <= p->slice) last++;
    return last;
}

// Shards `first` .. `end` - 1 in slices: of whole shards where they are grouped, else of equal size.
static void run_task(const struct shk_engine *e, const struct shk_batch *b, const struct shk_stage *stage,
                     unsigned worker, size_t first, size_t end, bool grouped) {
    const struct shk_plan *p = e->plan;
    size_t shards = shk_shards_of(p, b->n);
    for (size_t shard = first, next; grouped && shard < end; shard = next) {
        next = slice_end(p, b->n, shards, shard, end);
        size_t from = shk_shard_start(b->n, shards, shard), to = shk_shard_start(b->n, shards, next);
        shk_run_slice(e, b, stage, worker, (struct shk_part){from, to - from, shard, shards, true});
    }
    if (grouped) return;
    size_t start = shk_shard_start(b->n, shards, first), samples = shk_shard_start(b->n, shards, end) - start;
    size_t slices = (samples + p->slice - 1) / p->slice;
    for (size_t i = 0; i < slices; i++) {
        size_t from = start + i * samples / slices, to = start + (i + 1) * samples / slices;
        struct shk_part part = {from, to - from, shard_of(from, b->n, shards), shards, false};
        shk_run_slice(e, b, stage, worker, part);
    }
}

static void run_shards(struct shk_engine *e, const struct shk_batch *b, const struct shk_stage *stage,
                       struct shk_share *shares, unsigned worker, unsigned workers) {
    size_t shards = shk_shards_of(e->plan, b->n);
    struct tasks t = tasks_of(e->plan, b->n, shards, workers);
    size_t tasks = (shards + t.shards - 1) / t.shards;
    for (size_t task; shk_take(shares, tasks, worker, workers, &task);) {
        size_t first = task * t.shards, end = first + t.shards < shards ? first + t.shards : shards;
        run_task(e, b, stage, worker, first, end, t.grouped);
    }
}

void shk_forward(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    const struct shk_stage whole = {.kind = SHK_SLICES, .forward_end = e->plan->op_count};
    size_t slice = e->plan->slice, tasks = (b->n + slice - 1) / slice;
    for (size_t task; shk_take(e->shares, tasks, worker, workers, &task);) {
        size_t start = task * slice, n = b->n - start < slice ? b->n - start : slice;
        shk_run_slice(e, b, &whole, worker, (struct shk_part){start, n, 0, 1, false});
    }
    shk_barrier_wait(&e->barrier, workers, e->spin);
    shk_share_reset(&e->shares[worker]);
    shk_barrier_wait(&e->barrier, workers, e->spin);
}

// ---- The stages of a step ----

// Seconds, where the time is recorded.
static double clock_of(const struct shk_engine *e) { return e->times ? shk_seconds() : 0; }

// Meets the others, and records how long that took.
static void meet(struct shk_engine *e, unsigned worker, unsigned workers) {
    double start = clock_of(e);
    shk_barrier_wait(&e->barrier, workers, e->spin);
    if (e->times) e->times[worker].wait += clock_of(e) - start;
}

static bool losses_finite(const struct shk_batch *b) {
    for (size_t i = 0; i < b->n; i++)
        if (!isfinite(b->loss[i])) return false;
    return true;
}

// An op's tasks, and the updates behind each.
static void run_tasks(const struct shk_engine *e, const struct shk_whole_batch *w, const struct shk_stage *stage,
                      struct shk_share *shares, const struct shk_updater *updater, unsigned worker, unsigned workers) {
    enum shk_update_part part = e->gradients ? SHK_GRADIENT_PART : SHK_WHOLE_UPDATE;
    float *scratch = task_scratch(e, worker);
    double seconds[2] = {-clock_of(e), 0};
    shk_plan_begin_tasks(w, stage, scratch);
    seconds[0] += clock_of(e);
    for (size_t task, tasks = shk_plan_tasks(e->plan, stage); shk_take(shares, tasks, worker, workers, &task);) {
        double start = clock_of(e);
        shk_plan_task(w, stage, task, scratch);
        double middle = clock_of(e);
        for (size_t i = task * stage->updates; i < (task + 1) * stage->updates; i++)
            shk_update_run(updater, w, &e->plan->updates[stage->first_update + i], part);
        seconds[0] += middle - start;
        seconds[1] += clock_of(e) - middle;
    }
    if (!e->times) return;
    e->times[worker].op[stage->op][stage->phase] += seconds[0];
    e->times[worker].op[stage->op][SHK_WEIGHT_GRADIENT] += seconds[1];
}

static void run_updates(const struct shk_engine *e, const struct shk_whole_batch *w, const struct shk_stage *stage,
                        struct shk_share *shares, const struct shk_updater *updater, unsigned worker,
                        unsigned workers) {
    enum shk_update_part part = stage->kind == SHK_RULE ? SHK_RULE_PART
                                : e->gradients          ? SHK_GRADIENT_PART
                                                        : SHK_WHOLE_UPDATE;
    double start = clock_of(e);
    for (size_t task; shk_take(shares, stage->updates, worker, workers, &task);)
        shk_update_run(updater, w, &e->plan->updates[stage->first_update + task], part);
    if (e->times) e->times[worker].update += clock_of(e) - start;
}

static void gradient_norm(const struct shk_engine *e, struct shk_share *shares, const struct shk_updater *updater,
                          unsigned worker, unsigned workers) {
    double start = clock_of(e);
    for (size_t block; shk_take(shares, norm_blocks(e), worker, workers, &block);) {
        size_t at = block * NORM_BLOCK, left = e->model->weight_floats - at;
        bool finite = true;
        struct shk_square_sum sum = {left < NORM_BLOCK ? left : NORM_BLOCK, e->gradients + at,
                                     e->square_sums + block * SHK_FLAG_STRIDE, &finite};
        e->k->square_sum(&sum);
        if (!finite) *updater->bad = 1;
    }
    if (e->times) e->times[worker].update += clock_of(e) - start;
}

static void run_stage(struct shk_engine *e, const struct shk_batch *b, unsigned stage,
                      const struct shk_updater *updater, unsigned worker, unsigned workers) {
    const struct shk_stage *s = &e->plan->stages[stage];
    struct shk_share *shares = e->shares + stage * (size_t)e->workers;
    const struct shk_whole_batch w = {e->plan, e->k, e->model->weights, e->model->derived, e->batch_space, b->n};
    if (s->kind == SHK_SLICES) run_shards(e, b, s, shares, worker, workers);
    if (s->kind == SHK_TASKS) run_tasks(e, &w, s, shares, updater, worker, workers);
    if (s->kind == SHK_GRADIENT_NORM) gradient_norm(e, shares, updater, worker, workers);
    if (s->kind == SHK_UPDATES || s->kind == SHK_RULE) run_updates(e, &w, s, shares, updater, worker, workers);
}

// Of the first or the second flag of each worker.
static bool gradients_finite(const struct shk_engine *e, unsigned flag, unsigned workers) {
    for (unsigned i = 0; i < workers; i++)
        if (e->bad[i * SHK_FLAG_STRIDE + flag]) return false;
    return true;
}

// What the gradients are multiplied by; every worker adds up the same sums in the same order. False: there is no such.
static bool clip(const struct shk_engine *e, float *scale) {
    double sum = 0;
    for (size_t i = 0; i < norm_blocks(e); i++) sum += (double)e->square_sums[i * SHK_FLAG_STRIDE];
    double factor = isinf(e->clip_norm) ? 1 : e->clip_norm / (sqrt(sum) + 1e-6);
    *scale = factor < 1 ? (float)factor : 1;
    return isinf(e->clip_norm) || isfinite(sum);
}

// A stage's shares are reset during the next one, when nobody takes from them. Only after the first stage can nobody have
// ended this step, and so cancelled the next one.
enum shk_outcome shk_step(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    const struct shk_plan *p = e->plan;
    float *scratch = task_scratch(e, worker);
    const bool grouped = tasks_of(p, b->n, shk_shards_of(p, b->n), workers).grouped;
    struct shk_updater updater;
    unsigned stages = p->stage_count + (e->gradients ? SHK_CLIP_STAGES : 0);
    for (unsigned i = 0; i < stages; i++) {
        unsigned before = (i + stages - 1) % stages;
        if (i == 1) updater = shk_updater_of(e, grouped, scratch, &e->bad[worker * SHK_FLAG_STRIDE]);
        run_stage(e, b, i, &updater, worker, workers);
        shk_share_reset(&e->shares[before * (size_t)e->workers + worker]);
        meet(e, worker, workers);
        if (i == 0 && e->cancelled) return SHK_STEP_CANCELLED;
        if ((p->stages[i].publishes & SHK_PUBLISHES_LOSSES) && !losses_finite(b)) return SHK_STEP_BAD_LOSS;
        if (!(p->stages[i].publishes & SHK_PUBLISHES_SQUARES)) continue;
        if (!gradients_finite(e, 0, workers) || !clip(e, &updater.adam.scale)) return SHK_STEP_BAD_GRADIENT;
        updater.bad++; // the first flags may still be read
    }
    if (!gradients_finite(e, 0, workers) || !gradients_finite(e, 1, workers)) return SHK_STEP_BAD_GRADIENT;
    if (worker == 0) e->steps++;
    return SHK_STEP_DONE;
}
