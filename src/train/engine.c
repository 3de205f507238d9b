// SPDX-License-Identifier: MIT
// An engine's memory is taken here, all of it before the first step.
#include "train/engine.h"

#include "base/fpenv.h"
#include "base/memory.h"
#include "nn/ops/ops.h"
#include <string.h>

// Memory of which each worker has a part. On several NUMA nodes the workers touch theirs first: shk_engine_first_touch.
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
    e->moments = alloc(team, 1, e->bytes.moments, "the optimizer's state", err);
    if (!e->moments) return false;
    e->m = apart_from(e->model->weights, THIRD, e->moments);
    e->v = apart_from(e->model->weights, 2 * THIRD, e->m + n);
    return true;
}

// ---- How much

static size_t workspace_floats(const struct shk_engine *e) {
    const struct shk_shape *shape = &e->model->shape;
    size_t floats = e->plan->workspace_floats + e->plan->scratch_bytes / sizeof(float);
    if (e->plan->training) floats += SHK_TASK_SCRATCH;
    floats += e->plan->slice * shape->height * shape->width * shape->channels;
    return ((floats + 1023) & ~(size_t)1023) + 16; // own pages, not all on the same cache sets
}

// For all workers of the team, or as many as run at once: where they are more, steps are those' (trainer.c).
static size_t gradient_buffers(const struct shk_engine *e, size_t batch, unsigned at_once) {
    const struct shk_plan *p = e->plan;
    const size_t all = shk_most_buffers(batch, e->shards, p->slice, e->workers, p->whole),
                 some = shk_most_buffers(batch, e->shards, p->slice, at_once, p->whole);
    return all > some ? all : some;
}

// Gradients of what a round leaves, the packed blocks of the batch, and the sums of its blocks.
static void size_training(struct shk_engine *e, size_t batch, unsigned at_once) {
    struct shk_plan *p = e->plan;
    const size_t weights = e->model->weight_floats;
    shk_plan_hold(p, shk_most_round(batch, e->shards, e->workers, p->whole));
    e->grad_buffers = gradient_buffers(e, batch, at_once);
    for (size_t blocks = shk_cut_of(batch, e->shards).blocks; blocks > 1; blocks /= 2) e->level_count++;
    e->bytes.batch_space = (p->batch_floats + 16) * sizeof(float);
    e->bytes.grads = (e->grad_buffers + e->workers) * (p->shard_floats * sizeof(float) + 64);
    e->bytes.levels = e->level_count * weights * sizeof(float);
    e->bytes.moments = 2 * (weights + PAGE_FLOATS) * sizeof(float);
}

bool shk_engine_plan(struct shk_engine *e, struct shk_model *model, const struct shk_runtime *runtime, size_t batch,
                     size_t shards, bool training, struct shk_error *err) {
    const struct shk_team *team = &runtime->team;
    *e = (struct shk_engine){
        .k = runtime->kernels, .model = model, .shards = shards, .workers = team->workers, .spin = shk_team_spin(team)};
    fenv_t saved = shk_fpenv_enter();
    const size_t block = batch < SHK_BLOCK_SAMPLES ? batch : SHK_BLOCK_SAMPLES;
    e->plan = shk_plan_create(model, shk_ops, block, e->workers, training, err);
    shk_fpenv_leave(&saved);
    if (!e->plan) return false;
    e->workspace_stride = workspace_floats(e);
    e->bytes.plan = shk_plan_bytes(e->plan);
    e->bytes.workspaces = e->workers * e->workspace_stride * sizeof(float);
    if (training) size_training(e, batch, shk_team_at_once(team));
    return true;
}

// ---- Taking it

static bool alloc_training(struct shk_engine *e, const struct shk_team *team, struct shk_error *err) {
    e->batch_space = alloc(team, 1, e->bytes.batch_space, "the batch's activations", err);
    e->grads = alloc(team, 1, e->bytes.grads, "the gradients", err);
    if (e->level_count) e->levels = alloc(team, 1, e->bytes.levels, "the blocks' gradients", err);
    return e->batch_space && e->grads && (e->levels || !e->level_count) && place_moments(e, team, err);
}

// Of an engine that is planned.
static bool take_memory(struct shk_engine *e, const struct shk_team *team, struct shk_error *err) {
    if (!e->borrows) e->workspaces = alloc(team, 1, e->bytes.workspaces, "the workers' activations", err);
    e->bad = shk_alloc(e->workers, SHK_FLAG_STRIDE * sizeof *e->bad, "flags", err);
    e->shares = shk_alloc(shk_engine_stages(e) * e->workers, sizeof *e->shares, "task shares", err);
    bool ok = e->workspaces && e->bad && e->shares && (!e->plan->training || alloc_training(e, team, err));
    if (ok)
        shk_engine_start(e);
    else
        shk_engine_free(e);
    return ok;
}

bool shk_engine_init(struct shk_engine *e, struct shk_model *model, const struct shk_runtime *runtime, size_t batch,
                     size_t shards, bool training, struct shk_error *err) {
    return shk_engine_plan(e, model, runtime, batch, shards, training, err) && take_memory(e, &runtime->team, err);
}

void shk_engine_borrow(struct shk_engine *e, const struct shk_engine *from) {
    if (e->workspace_stride > from->workspace_stride) return;
    e->borrows = true;
    e->workspaces = from->workspaces;
    e->workspace_stride = from->workspace_stride; // on the same nodes
    e->bytes.workspaces = 0;
}

bool shk_engine_init_beside(struct shk_engine *e, struct shk_engine *training, const struct shk_runtime *runtime,
                            size_t batch, struct shk_error *err) {
    if (!shk_engine_plan(e, training->model, runtime, batch, 1, false, err)) return false;
    shk_engine_borrow(e, training);
    return take_memory(e, &runtime->team, err);
}

// What is beside the pixels of a map with a border is zero, and the other engine may have written there.
void shk_engine_enter(const struct shk_engine *e, unsigned worker) {
    const struct shk_plan *p = e->plan;
    for (unsigned i = 0; i < p->buffer_count; i++) {
        const struct shk_buffer *b = &p->buffers[i];
        if (b->kept && b->space == SHK_WORKSPACE)
            memset(shk_engine_workspace(e, worker) + b->offset, 0, b->per_sample * p->slice * sizeof(float));
    }
}

bool shk_engine_clip(struct shk_engine *e, const struct shk_team *team, double clip_norm, struct shk_error *err) {
    e->clip_norm = clip_norm;
    e->gradients = alloc(team, e->model->weight_floats, sizeof(float), "the gradients", err);
    e->square_sums = shk_alloc(shk_engine_norm_blocks(e), SHK_FLAG_STRIDE * sizeof(float), "the gradients' norm", err);
    return e->gradients && e->square_sums;
}

void shk_engine_free(struct shk_engine *e) {
    shk_plan_free(e->plan);
    if (!e->borrows) shk_free(e->workspaces);
    shk_free(e->bad);
    shk_free(e->shares);
    shk_free(e->times);
    shk_free(e->batch_space);
    shk_free(e->grads);
    shk_free(e->levels);
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
    memset(e->shares, 0, shk_engine_stages(e) * e->workers * sizeof *e->shares);
}

void shk_engine_forget(struct shk_engine *e) {
    memset(e->m, 0, e->model->weight_floats * sizeof(float));
    memset(e->v, 0, e->model->weight_floats * sizeof(float));
    e->steps = 0;
}
