// SPDX-License-Identifier: MIT
#include "train/step.h"

#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

enum { FLAG_STRIDE = 64 };

bool shk_engine_init(struct shk_engine *e, struct shk_model *model, const struct shk_runtime *runtime, size_t batch,
                     size_t shards, bool training, struct shk_error *err) {
    const struct shk_team *team = &runtime->team;
    *e = (struct shk_engine){
        .k = runtime->kernels, .model = model, .workers = team->workers, .at_once = team->at_once, .spin = team->spin};
    fenv_t saved = shk_fpenv_enter();
    e->plan = shk_plan_create(model, batch, shards, training, err);
    shk_fpenv_leave(&saved);
    if (!e->plan) return false;
    size_t floats = e->plan->workspace_floats + e->plan->scratch_bytes / sizeof(float) + SHK_TILE_FLOATS;
    e->workspace_stride = ((floats + 1023) & ~(size_t)1023) + 16; // own pages, not all on the same cache sets
    // On several NUMA nodes the workers touch their parts first: shk_engine_place.
    void *(*alloc)(size_t, size_t, const char *, struct shk_error *) =
        team->many_nodes ? shk_alloc_untouched : shk_alloc;
    e->workspaces = alloc(e->workers, e->workspace_stride * sizeof(float), "the workers' activations", err);
    e->not_finite = shk_alloc(e->workers, FLAG_STRIDE, "flags", err);
    e->tasks = shk_alloc(e->workers, sizeof *e->tasks, "task shares", err);
    e->updates = shk_alloc(e->workers, sizeof *e->updates, "task shares", err);
    bool ok = e->workspaces && e->not_finite && e->tasks && e->updates;
    if (training && ok) {
        e->batch_space = alloc(e->plan->batch_floats + 16, sizeof(float), "the batch's activations", err);
        e->shard_grads =
            alloc(e->plan->shards, e->plan->shard_floats * sizeof(float) + 64, "the shards' gradients", err);
        e->m = alloc(model->weight_floats, sizeof(float), "the optimizer's state", err);
        e->v = alloc(model->weight_floats, sizeof(float), "the optimizer's state", err);
        ok = e->batch_space && e->shard_grads && e->m && e->v;
    }
    if (!ok) shk_engine_free(e);
    return ok;
}

void shk_engine_free(struct shk_engine *e) {
    shk_plan_free(e->plan);
    shk_free(e->workspaces);
    shk_free(e->not_finite);
    shk_free(e->tasks);
    shk_free(e->updates);
    shk_free(e->times);
    shk_free(e->batch_space);
    shk_free(e->shard_grads);
    shk_free(e->m);
    shk_free(e->v);
    *e = (struct shk_engine){0};
}

void shk_engine_forget(struct shk_engine *e) { memset(e->not_finite, 0, e->workers * FLAG_STRIDE); }

static float *workspace_of(const struct shk_engine *e, unsigned worker) {
    return e->workspaces + worker * e->workspace_stride;
}

// ---- Forward and backward ----

// Takes samples start .. start + n - 1 of the batch through the plan; they begin in shard `shard`.
static void run_slice(const struct shk_engine *e, const struct shk_batch *b, unsigned worker, size_t start, size_t n,
                      size_t shard, size_t shards) {
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
                              .shard = shard,
                              .shards = shards,
                              .shard_grads = e->shard_grads,
                              .loss = b->loss + start,
                              .predicted = b->predicted + start,
                              .seed = e->seed,
                              .epoch = b->epoch,
                              .times = e->times ? &e->times[worker] : NULL};
    shk_plan_forward(p, &slice);
    if (p->training) shk_plan_backward(p, &slice);
}

// The shard that sample i of the batch belongs to.
static size_t shard_of(size_t i, size_t samples, size_t shards) {
    size_t s = i * shards / samples;
    while (s + 1 < shards && shk_shard_start(samples, shards, s + 1) <= i) s++;
    return s;
}

// How many consecutive shards make a task: as many as fit a slice, unless that leaves workers idle. No effect on the
// bits.
static size_t shards_a_task(const struct shk_plan *p, size_t samples, size_t shards, unsigned workers) {
    size_t most = p->slice * shards / samples, best = 1, best_cost = SIZE_MAX;
    for (size_t g = 1; g <= (most ? most : 1); g++) {
        size_t tasks = (shards + g - 1) / g, cost = (tasks + workers - 1) / workers * g;
        if (cost <= best_cost) {
            best_cost = cost;
            best = g;
        }
    }
    return best;
}

static size_t shards_of(const struct shk_plan *p, size_t samples) { return p->shards < samples ? p->shards : samples; }

static void run_shards(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    size_t shards = shards_of(e->plan, b->n), group = shards_a_task(e->plan, b->n, shards, workers);
    size_t tasks = (shards + group - 1) / group;
    for (size_t task; shk_take(e->tasks, tasks, worker, workers, &task);) {
        size_t last = task * group + group < shards ? task * group + group : shards;
        size_t start = shk_shard_start(b->n, shards, task * group), end = shk_shard_start(b->n, shards, last);
        size_t slices = (end - start + e->plan->slice - 1) / e->plan->slice;
        for (size_t i = 0; i < slices; i++) {
            size_t from = start + i * (end - start) / slices, to = start + (i + 1) * (end - start) / slices;
            run_slice(e, b, worker, from, to - from, shard_of(from, b->n, shards), shards);
        }
    }
}

void shk_forward(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    size_t slice = e->plan->slice, tasks = (b->n + slice - 1) / slice;
    for (size_t task; shk_take(e->tasks, tasks, worker, workers, &task);) {
        size_t start = task * slice, n = b->n - start < slice ? b->n - start : slice;
        run_slice(e, b, worker, start, n, 0, 1);
    }
    shk_barrier_wait(&e->barrier, workers, e->spin);
    shk_share_reset(&e->tasks[worker]);
    shk_barrier_wait(&e->barrier, workers, e->spin);
}

// ---- Update ----

// base^n by squaring: a function of its arguments alone, unlike libm's pow.
static double power(double base, size_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

static struct shk_adam adam_of(const struct shk_engine *e, bool *finite) {
    const struct shk_adam_options *o = &e->adam;
    double bc1 = 1 - power(o->beta1, e->steps), bc2 = 1 - power(o->beta2, e->steps);
    return (struct shk_adam){.beta1 = (float)o->beta1,
                             .one_minus_beta1 = (float)(1 - o->beta1),
                             .beta2 = (float)o->beta2,
                             .one_minus_beta2 = (float)(1 - o->beta2),
                             .eps = (float)o->eps,
                             .step_size = (float)(o->lr / bc1),
                             .inv_sqrt_bc2 = (float)(1 / sqrt(bc2)),
                             .finite = finite};
}

// A tile of X^T dY over the whole batch (or the column sums of dY, for the bias) into `tile`: [panels][length].
static void batch_gradient(const struct shk_engine *e, const struct shk_update *u, size_t samples, float *tile) {
    const struct shk_op *op = u->batch_op;
    const struct shk_view *x = &op->in, *dz = op->u.linear.dz.buffer >= 0 ? &op->u.linear.dz : &op->out_grad;
    const struct shk_buffer *xb = &e->plan->buffers[x->buffer], *zb = &e->plan->buffers[dz->buffer];
    ptrdiff_t dz_row = (ptrdiff_t)(dz->rows == 1 ? zb->per_sample : dz->ld);
    ptrdiff_t x_row = (ptrdiff_t)(x->rows == 1 ? xb->per_sample : x->ld);
    const float *dy = e->batch_space + zb->offset + dz->offset;
    if (u->param == op->bias) {
        e->k->column_sum(&(struct shk_column_sum){samples * dz->rows, u->length, dy + u->start, dz_row, tile, false});
        return;
    }
    struct shk_gemm gemm = {.m = u->length / 16,
                            .n = u->panels * 16,
                            .k = samples * x->rows,
                            .a = e->batch_space + xb->offset + x->offset + u->row,
                            .a_row = 1,
                            .a_col = x_row,
                            .b = dy + u->panel * 16,
                            .b_row = dz_row,
                            .b_panel = 16,
                            .c = tile,
                            .c_row = 16,
                            .c_panel = (ptrdiff_t)u->length};
    e->k->gemm(&gemm);
}

static void run_update(struct shk_engine *e, const struct shk_update *u, size_t samples, struct shk_adam adam,
                       float *tile) {
    size_t shards = shards_of(e->plan, samples), pieces = u->batch_op && u->panels == 2 ? 2 : 1;
    if (u->batch_op) batch_gradient(e, u, samples, tile);
    for (size_t i = 0; i < pieces; i++) {
        size_t at = u->param->offset + u->start + i * u->param->row * 16;
        adam.n = u->length;
        adam.w = e->model->weights + at;
        adam.m = e->m + at;
        adam.v = e->v + at;
        adam.gradients = u->batch_op ? tile + i * u->length : e->shard_grads + u->shard_grad;
        adam.stride = e->plan->shard_floats;
        adam.sources = u->batch_op ? 1 : shards;
        e->k->adam(&adam);
        size_t rows = u->batch_op ? u->length / 16 : u->param->row;
        if (u->panels) shk_param_derive(e->model, u->param, u->panel + i, u->row, rows, e->k);
    }
}

static void run_updates(struct shk_engine *e, size_t samples, unsigned worker, unsigned workers) {
    const struct shk_plan *p = e->plan;
    bool finite = true;
    struct shk_adam adam = adam_of(e, &finite);
    float *tile = workspace_of(e, worker) + p->workspace_floats + p->scratch_bytes / sizeof(float);
    for (size_t task; shk_take(e->updates, p->update_count, worker, workers, &task);)
        run_update(e, &p->updates[task], samples, adam, tile);
    if (!finite) e->not_finite[worker * FLAG_STRIDE] = true;
}

// Meets the others, and records how long that took.
static void meet(struct shk_engine *e, unsigned worker, unsigned workers) {
    double start = e->times ? shk_seconds() : 0;
    shk_barrier_wait(&e->barrier, workers, e->spin);
    if (e->times) e->times[worker].wait += shk_seconds() - start;
}

// Where there are more workers than can run at the same time, the rest leave the tasks to those whose caches hold them.
static unsigned active_workers(const struct shk_engine *e, unsigned workers) {
    return e->at_once && e->at_once < workers ? e->at_once : workers;
}

static bool losses_finite(const struct shk_batch *b) {
    for (size_t i = 0; i < b->n; i++)
        if (!isfinite(b->loss[i])) return false;
    return true;
}

// Shares are reset while the other phase runs, when nobody takes from them.
bool shk_step(struct shk_engine *e, const struct shk_batch *b, unsigned worker, unsigned workers) {
    unsigned active = active_workers(e, workers);
    if (worker < active) run_shards(e, b, worker, active);
    shk_share_reset(&e->updates[worker]);
    if (worker == 0) e->steps++;
    meet(e, worker, workers);
    double start = e->times ? shk_seconds() : 0;
    bool ok = losses_finite(b);
    shk_share_reset(&e->tasks[worker]);
    if (ok && worker < active) run_updates(e, b->n, worker, active);
    if (e->times) e->times[worker].update += shk_seconds() - start;
    meet(e, worker, workers);
    for (unsigned w = 0; w < workers; w++) ok = ok && !e->not_finite[w * FLAG_STRIDE];
    return ok;
}
