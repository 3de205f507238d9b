// SPDX-License-Identifier: MIT
// The training loop, and evaluation: what the public API offers.
#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include "train/settings.h"
#include "train/step.h"
#include <math.h>

struct shk_trainer {
    struct shk_model *model;
    const struct shk_runtime *runtime;
    size_t batch, epochs; // epochs: trained so far
    uint64_t seed;
    struct shk_engine train, test;
};

static const size_t evaluation_batch = 64;

struct shk_trainer *shk_trainer_create(struct shk_model *model, const struct shk_runtime *runtime,
                                       const struct shk_train_options *options, struct shk_error *err) {
    struct shk_train_options o;
    if (!shk_settings_check(options, &o, err)) return NULL;
    struct shk_trainer *t = shk_alloc(1, sizeof *t, "a trainer", err);
    if (!t) return NULL;
    t->model = model;
    t->runtime = runtime;
    t->seed = o.seed;
    t->batch = o.batch;
    if (shk_engine_init(&t->train, model, runtime, o.batch, o.shards, true, err) &&
        shk_engine_init(&t->test, model, runtime, evaluation_batch, 1, false, err)) {
        t->train.seed = o.seed;
        t->train.spin = runtime->team.spin; // not all workers take the steps where there are too many
        t->train.adam = shk_adam_defaults(o.lr);
        const struct shk_team team = shk_team_for(&runtime->team, o.shards);
        if (!team.many_nodes || shk_engine_place(&t->train, &team, err)) return t;
    }
    shk_trainer_free(t);
    return NULL;
}

void shk_trainer_free(struct shk_trainer *t) {
    if (!t) return;
    shk_engine_free(&t->train);
    shk_engine_free(&t->test);
    shk_free(t);
}

size_t shk_trainer_shards(const struct shk_trainer *t) { return t->train.plan->shards; }

// Sums in sample order, in double: the same on every machine.
static double mean_loss(const float *loss, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)loss[i];
    return sum / (double)n;
}

static struct shk_metrics metrics_of(const struct shk_batch *b) {
    size_t right = 0;
    for (size_t i = 0; i < b->n; i++) right += b->predicted[i] == b->data->labels[i];
    return (struct shk_metrics){mean_loss(b->loss, b->n), (double)right / (double)b->n};
}

// Losses and predictions for n samples.
static bool alloc_results(struct shk_batch *b, struct shk_error *err) {
    b->loss = shk_alloc(b->n, sizeof *b->loss, "losses", err);
    b->predicted = shk_alloc(b->n, sizeof *b->predicted, "predictions", err);
    return b->loss && b->predicted;
}

static void free_results(struct shk_batch *b) {
    shk_free(b->loss);
    shk_free(b->predicted);
}

// ---- Training ----

struct run {
    struct shk_trainer *trainer;
    struct shk_batch train, test; // the whole sets
    uint32_t *order;
    size_t epochs;
    shk_epoch_callback on_epoch;
    void *user;
    bool stop, failed;
    size_t failed_epoch, failed_step;
};

// One epoch's steps, until one fails.
static void train_epoch(struct run *r, unsigned worker, unsigned workers) {
    struct shk_trainer *t = r->trainer;
    for (size_t at = 0; at < r->train.n; at += t->batch) {
        struct shk_batch b = r->train;
        b.n = r->train.n - at < t->batch ? r->train.n - at : t->batch;
        b.ids = r->order + at;
        b.loss += at;
        b.predicted += at;
        b.epoch = (uint32_t)t->epochs;
        if (shk_step(&t->train, &b, worker, workers)) continue;
        if (worker == 0) {
            r->failed = true;
            r->failed_epoch = t->epochs + 1;
            r->failed_step = at / t->batch + 1;
        }
        return;
    }
}

static void end_epoch(struct run *r, double train_seconds) {
    struct shk_trainer *t = r->trainer;
    t->epochs++;
    struct shk_epoch e = {.epoch = t->epochs,
                          .train_loss = mean_loss(r->train.loss, r->train.n),
                          .test = {NAN, NAN},
                          .train_seconds = train_seconds,
                          .samples_per_second = (double)r->train.n / train_seconds};
    if (r->test.data) e.test = metrics_of(&r->test);
    r->stop = r->on_epoch && !r->on_epoch(&e, r->user);
}

// Where there are more workers than can run at the same time, the first ones take the steps: with turns, each would find
// the caches full of another's work.
static void train_worker(void *arg, unsigned worker, unsigned workers) {
    struct run *r = arg;
    struct shk_trainer *t = r->trainer;
    struct shk_barrier *barrier = &t->test.barrier; // of all workers; the steps have another one
    unsigned active = shk_team_at_once(&t->runtime->team);
    if (active > workers) active = workers;
    fenv_t saved = shk_fpenv_enter();
    for (size_t i = 0; i < r->epochs && !r->stop; i++) {
        double start = 0;
        if (worker == 0) {
            start = shk_seconds();
            shk_shuffle(r->order, r->train.n, t->seed, (uint32_t)t->epochs);
        }
        shk_barrier_wait(barrier, workers, t->test.spin);
        if (worker < active) train_epoch(r, worker, active);
        double train_seconds = shk_seconds() - start;
        shk_barrier_wait(barrier, workers, t->test.spin);
        if (r->failed) break;
        if (r->test.data) shk_forward(&t->test, &r->test, worker, workers);
        if (worker == 0) end_epoch(r, train_seconds);
        shk_barrier_wait(barrier, workers, t->test.spin);
    }
    shk_fpenv_leave(&saved);
}

static bool run_training(struct run *r, struct shk_error *err) {
    struct shk_trainer *t = r->trainer;
    const struct shk_team team = shk_team_for(&t->runtime->team, t->train.plan->shards);
    shk_engine_start(&t->train);
    team.run(&team, train_worker, r);
    if (!r->failed) return true;
    return shk_fail(
        err, SHK_FAILED,
        "the loss or a gradient is not finite in epoch %zu, step %zu: lower the learning rate, or check the data",
        r->failed_epoch, r->failed_step);
}

bool shk_train(struct shk_trainer *t, const struct shk_dataset *train, const struct shk_dataset *test, size_t epochs,
               shk_epoch_callback on_epoch, void *user, struct shk_error *err) {
    if (!shk_shapes_agree(t->model, train, err) || (test && !shk_shapes_agree(t->model, test, err))) return false;
    struct run r = {.trainer = t, .epochs = epochs, .on_epoch = on_epoch, .user = user};
    r.train = (struct shk_batch){.data = train, .n = train->n};
    r.test = (struct shk_batch){.data = test, .n = test ? test->n : 1};
    r.order = shk_alloc(train->n, sizeof *r.order, "the order of samples", err);
    bool ok = r.order && alloc_results(&r.train, err) && alloc_results(&r.test, err) && run_training(&r, err);
    shk_free(r.order);
    free_results(&r.train);
    free_results(&r.test);
    return ok;
}

// ---- Evaluation ----

struct evaluation {
    struct shk_engine engine;
    struct shk_batch batch;
};

static void evaluate_worker(void *arg, unsigned worker, unsigned workers) {
    struct evaluation *e = arg;
    fenv_t saved = shk_fpenv_enter();
    shk_forward(&e->engine, &e->batch, worker, workers);
    shk_fpenv_leave(&saved);
}

bool shk_evaluate(const struct shk_model *model, const struct shk_runtime *runtime, const struct shk_dataset *data,
                  struct shk_metrics *out, struct shk_error *err) {
    if (!shk_shapes_agree(model, data, err)) return false;
    struct evaluation e = {.batch = {.data = data, .n = data->n}};
    // A plan for evaluation only reads the model.
    bool ok = shk_engine_init(&e.engine, (struct shk_model *)model, runtime, evaluation_batch, 1, false, err) &&
              alloc_results(&e.batch, err);
    if (ok) {
        runtime->team.run(&runtime->team, evaluate_worker, &e);
        *out = metrics_of(&e.batch);
    }
    free_results(&e.batch);
    shk_engine_free(&e.engine);
    return ok;
}
