// SPDX-License-Identifier: MIT
// Takes the steps of a training, or forward passes, one by one and times each.
#include "base/clock.h"
#include "base/counters.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include "nn/plan/op.h"
#include "train/evaluate.h"
#include "train/peaks.h"
#include "train/settings.h"
#include "train/step.h"
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// A worker's counters, and what they have counted in this run.
struct tally {
    _Alignas(64) struct shk_counters counters;
    bool failed;
    struct shk_bench_counts counts;
    struct shk_error error;
};

struct shk_bench {
    struct shk_bench_options o;
    const struct shk_runtime *runtime;
    const struct shk_dataset *data;
    struct shk_team team;
    struct shk_model *model;
    struct shk_engine engine;
    uint32_t *order, *predicted; // [samples]; [batch]
    float *loss;                 // [batch]
    size_t steps, at, last;      // taken; the first sample of the next one in `order`; samples of the last one
    uint32_t epoch;              // at hand
    struct tally *tally;         // [workers]; NULL: nothing is counted
};

// ---- Open and close ----

static bool open_engine(struct shk_bench *b, struct shk_error *err) {
    const struct shk_train_options options = {.batch = b->o.batch, .seed = b->o.seed};
    struct shk_train_options complete;
    if (!shk_settings_check(&options, &complete, err)) return false;
    b->o.batch = complete.batch;
    const bool evaluates = b->o.evaluation;
    if (!shk_engine_init(&b->engine, b->model, b->runtime, evaluates ? SHK_EVALUATION_BATCH : b->o.batch,
                         complete.shards, !evaluates, err))
        return false;
    b->engine.options = complete;
    b->engine.seed = b->o.seed;
    b->team = evaluates ? b->runtime->team : shk_team_for(&b->runtime->team, shk_train_shards(&complete));
    return true;
}

static bool open_all(struct shk_bench *b, struct shk_error *err) {
    b->model = shk_model_create(b->o.model, &b->data->shape, b->o.seed, err);
    if (!b->model || !open_engine(b, err)) return false;
    b->order = shk_alloc(b->data->n, sizeof *b->order, "the order of samples", err);
    b->predicted = shk_alloc(b->o.batch, sizeof *b->predicted, "predictions", err);
    b->loss = shk_alloc(b->o.batch, sizeof *b->loss, "losses", err);
    if (!b->order || !b->predicted || !b->loss) return false;
    shk_shuffle(b->order, b->data->n, b->o.seed, 0);
    return true;
}

struct shk_bench *shk_bench_create(const struct shk_bench_options *o, const struct shk_dataset *data,
                                   const struct shk_runtime *runtime, struct shk_error *err) {
    struct shk_bench *b = shk_alloc(1, sizeof *b, "a benchmark", err);
    if (!b) return NULL;
    b->o = *o;
    b->runtime = runtime;
    b->data = data;
    if (open_all(b, err)) return b;
    shk_bench_free(b);
    return NULL;
}

void shk_bench_free(struct shk_bench *b) {
    if (!b) return;
    if (b->engine.plan) shk_engine_free(&b->engine);
    shk_free(b->order);
    shk_free(b->predicted);
    shk_free(b->loss);
    shk_free(b->tally);
    shk_model_free(b->model);
    shk_free(b);
}

// ---- Counters ----

bool shk_bench_count(struct shk_bench *b, struct shk_error *err) {
    struct shk_counters tried;
    struct shk_counted none;
    if (b->tally) return true;
    if (!shk_counters_open(shk_cpu_events, &tried, err)) return false;
    shk_counters_start(&tried);
    shk_counters_stop(&tried);
    if (!shk_counters_close(&tried, &none, err)) return false;
    b->tally = shk_alloc(b->team.workers, sizeof *b->tally, "counters", err);
    return b->tally != NULL;
}

static struct tally *open_tally(struct shk_bench *b, unsigned worker) {
    struct tally *t = b->tally ? b->tally + worker : NULL;
    if (!t || t->failed) return NULL;
    t->failed = !shk_counters_open(shk_cpu_events, &t->counters, &t->error);
    return t->failed ? NULL : t;
}

static void close_tally(struct tally *t) {
    struct shk_counted c;
    if (!t) return;
    t->failed = !shk_counters_close(&t->counters, &c, &t->error);
    if (t->failed) return;
    t->counts.cycles += c.value[SHK_CYCLES];
    t->counts.instructions += c.value[SHK_INSTRUCTIONS];
    t->counts.cache_misses += c.value[SHK_CACHE_MISSES];
    if (c.share < t->counts.share) t->counts.share = c.share;
}

// Before a run; 1 is what no share is above.
static void clear_tallies(struct shk_bench *b) {
    for (unsigned i = 0; b->tally && i < b->team.workers; i++) b->tally[i] = (struct tally){.counts = {.share = 1}};
}

static bool check_tallies(const struct shk_bench *b, struct shk_error *err) {
    for (unsigned i = 0; b->tally && i < b->team.workers; i++)
        if (b->tally[i].failed) return shk_fail(err, b->tally[i].error.code, "%s", b->tally[i].error.text);
    return true;
}

struct shk_bench_counts shk_bench_counts(const struct shk_bench *b) {
    struct shk_bench_counts all = {0};
    for (unsigned i = 0; b->tally && i < b->team.workers; i++) {
        const struct shk_bench_counts *c = &b->tally[i].counts;
        all.cycles += c->cycles;
        all.instructions += c->instructions;
        all.cache_misses += c->cache_misses;
        if (i == 0 || c->share < all.share) all.share = c->share;
    }
    return all;
}

// ---- Steps ----

struct run {
    struct shk_bench *bench;
    struct shk_bench_limits limits;
    size_t taken;
    double seconds;          // in the steps
    unsigned spin;           // between them: long enough that nobody sleeps while the first worker measures the peak
    bool over, stop, failed; // stop: for now
    struct shk_bench_step *out;
};

static size_t samples_of_next(const struct shk_bench *b) {
    const size_t left = b->data->n - b->at;
    return left < b->o.batch ? left : b->o.batch;
}

// Of the epochs, where the training begins anew.
static bool is_at_end(const struct shk_bench *b) { return b->epoch == SHK_BENCH_EPOCHS && b->at == 0; }

// By the first worker, after each step; the others wait. The order changes from epoch to epoch.
static void record(struct run *r, size_t samples, double seconds, double cpu_seconds) {
    struct shk_bench *b = r->bench;
    r->out[r->taken++] = (struct shk_bench_step){samples, seconds, cpu_seconds, shk_peak_burst(b->engine.k)};
    r->seconds += seconds;
    b->steps++;
    b->last = samples;
    b->at += samples;
    if (b->at == b->data->n) {
        b->at = 0;
        b->epoch++;
        shk_shuffle(b->order, b->data->n, b->o.seed, b->epoch);
    }
    r->over = r->taken == r->limits.most || (r->taken >= r->limits.least && r->seconds >= r->limits.seconds);
    r->stop = r->over || is_at_end(b);
}

static bool take_step(struct run *r, const struct tally *tally, unsigned worker, unsigned workers) {
    struct shk_bench *b = r->bench;
    const struct shk_batch batch = {.data = b->data,
                                    .ids = b->order + b->at,
                                    .n = samples_of_next(b),
                                    .epoch = b->epoch,
                                    .loss = b->loss,
                                    .predicted = b->predicted};
    // The clock starts before the first worker lets the others go, or they might be through before it looks.
    const double start = shk_seconds(), cpu_start = shk_thread_seconds();
    shk_barrier_wait(&b->engine.barrier, workers, r->spin);
    if (tally) shk_counters_start(&tally->counters);
    bool ok = true;
    if (b->o.evaluation)
        shk_forward(&b->engine, &batch, worker, workers);
    else
        ok = shk_train_step(&b->engine, &batch, worker, workers) == SHK_STEP_DONE;
    if (tally) shk_counters_stop(&tally->counters);
    shk_barrier_wait(&b->engine.barrier, workers, r->spin);
    const double cpu_end = shk_thread_seconds(), end = shk_seconds();
    if (worker == 0) {
        record(r, batch.n, end - start, cpu_end - cpu_start);
        r->failed = !ok;
    }
    shk_barrier_wait(&b->engine.barrier, workers, r->spin);
    return ok && !r->stop;
}

static void work(void *arg, unsigned worker, unsigned workers) {
    struct run *r = arg;
    struct tally *tally = open_tally(r->bench, worker);
    const fenv_t saved = shk_fpenv_enter();
    while (take_step(r, tally, worker, workers)) {
    }
    shk_fpenv_leave(&saved);
    close_tally(tally);
}

static bool begin_anew(struct shk_bench *b, struct shk_error *err) {
    if (!shk_model_draw(b->model, b->o.seed, err)) return false;
    if (!b->o.evaluation) shk_engine_forget(&b->engine);
    b->epoch = 0;
    shk_shuffle(b->order, b->data->n, b->o.seed, 0);
    return true;
}

size_t shk_bench_run(struct shk_bench *b, const struct shk_bench_limits *limits, struct shk_bench_step *out,
                     struct shk_error *err) {
    struct run r = {.bench = b, .limits = *limits, .out = out, .spin = 4 * b->engine.spin};
    clear_tallies(b);
    while (!r.over) {
        if (is_at_end(b) && !begin_anew(b, err)) return 0;
        shk_engine_start(&b->engine);
        b->team.run(&b->team, work, &r);
        if (r.failed) {
            shk_fail(err, SHK_FAILED, "the loss or a gradient is not finite in step %zu", b->steps);
            return 0;
        }
    }
    return check_tallies(b, err) ? r.taken : 0;
}

// ---- What was computed ----

size_t shk_bench_steps(const struct shk_bench *b) { return b->steps; }
const struct shk_model *shk_bench_model(const struct shk_bench *b) { return b->model; }

double shk_bench_loss(const struct shk_bench *b) {
    double sum = 0;
    for (size_t i = 0; i < b->last; i++) sum += (double)b->loss[i];
    return b->last ? sum / (double)b->last : 0;
}

uint64_t shk_bench_hash(const struct shk_bench *b) {
    return XXH3_64bits_withSeed(b->loss, b->last * sizeof *b->loss, shk_model_hash(b->model));
}

double shk_bench_flops(const struct shk_bench *b) {
    return b->o.evaluation ? b->model->forward_flops : b->model->training_flops;
}

double shk_bench_flops_done(const struct shk_bench *b) {
    const struct shk_plan *plan = b->engine.plan;
    const int phases = b->o.evaluation ? 1 : SHK_PHASES;
    double flops = 0;
    for (unsigned i = 0; i < plan->op_count; i++)
        for (int phase = 0; phase < phases; phase++) flops += shk_op_flops(plan->ops[i], (enum shk_phase)phase);
    return b->o.evaluation ? flops : flops + shk_update_flops(plan, b->o.batch) / (double)b->o.batch;
}
