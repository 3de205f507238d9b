// SPDX-License-Identifier: MIT
// The training loop.
#include "train/trainer.h"

#include "base/clock.h"
#include "base/fpenv.h"
#include "base/memory.h"
#include "train/evaluate.h"
#include "train/failure.h"
#include "train/freeze.h"
#include "train/settings.h"
#include <math.h>
#include <string.h>

struct shk_trainer *shk_trainer_create(struct shk_model *model, const struct shk_runtime *runtime,
                                       const struct shk_train_options *options, struct shk_error *err) {
    struct shk_train_options o;
    if (!shk_settings_check(options, &o, err)) return NULL;
    struct shk_trainer *t = shk_alloc(1, sizeof *t, "a trainer", err);
    if (!t) return NULL;
    t->model = model;
    t->runtime = runtime;
    t->options = o;
    if (shk_engine_init(&t->train, model, runtime, o.batch, o.shards, true, err) &&
        shk_engine_init_beside(&t->test, &t->train, runtime, SHK_EVALUATION_BATCH, err)) {
        t->train.seed = o.seed;
        t->train.spin = runtime->team.spin; // not all workers take the steps where there are too many
        t->train.options = o;
        const struct shk_team team = shk_team_for(&runtime->team, shk_train_shards(&o));
        if ((!*o.freeze || shk_engine_freeze(&t->train, o.freeze, err)) &&
            (o.clip_norm == 0 || shk_engine_clip(&t->train, &team, o.clip_norm, err)) &&
            (!team.many_nodes || shk_engine_first_touch(&t->train, &team, err)))
            return t;
    }
    shk_trainer_free(t);
    return NULL;
}

void shk_trainer_free(struct shk_trainer *t) {
    if (!t) return;
    shk_engine_free(&t->train);
    shk_engine_free(&t->test);
    shk_free(t->losses);
    shk_free(t->best_weights);
    shk_free(t);
}

size_t shk_trainer_shards(const struct shk_trainer *t) { return t->train.shards; }
struct shk_position shk_trainer_position(const struct shk_trainer *t) {
    return t->position;
}
struct shk_best shk_trainer_best(const struct shk_trainer *t) {
    return t->best;
}

bool shk_trainer_set_samples(struct shk_trainer *t, size_t samples, struct shk_error *err) {
    float *losses = shk_alloc(samples, sizeof *losses, "losses", err);
    if (!losses) return false;
    shk_free(t->losses);
    t->losses = losses;
    t->samples = samples;
    return true;
}

// ---- Training ----

struct run {
    struct shk_trainer *trainer;
    struct shk_batch train, test; // the whole sets
    uint32_t *order;
    size_t epochs;
    struct shk_callbacks callbacks;
    float *spare_weights; // for the best epoch's, where there is no place yet
    bool ended;           // inside an epoch, by a callback
    bool stop;            // between two epochs, by a callback
    enum shk_outcome failure;
};

// After a step, by the first worker. The others have begun the next one, and give it up if the training ends.
static void end_step(struct run *r, const struct shk_batch *b) {
    struct shk_trainer *t = r->trainer;
    t->position.step++;
    if (!r->callbacks.on_step) return;
    struct shk_step s = {t->position.epoch + 1, t->position.step, shk_mean_loss(b->loss, b->n)};
    r->ended = !r->callbacks.on_step(&s, r->callbacks.user);
    t->train.cancelled = r->ended;
}

// The batch whose first sample is number `at` of the epoch.
static struct shk_batch batch_at(const struct run *r, size_t at) {
    const struct shk_trainer *t = r->trainer;
    struct shk_batch b = r->train;
    b.n = r->train.n - at < t->options.batch ? r->train.n - at : t->options.batch;
    b.ids = r->order + at;
    b.loss += at;
    b.predicted += at;
    b.epoch = (uint32_t)t->position.epoch;
    return b;
}

// The epoch's steps that are left, until one fails or the training ends.
static void train_epoch(struct run *r, unsigned worker, unsigned workers) {
    struct shk_trainer *t = r->trainer;
    shk_engine_enter(&t->train, worker);
    for (size_t at = t->position.step * t->options.batch; at < r->train.n; at += t->options.batch) {
        struct shk_batch b = batch_at(r, at);
        enum shk_outcome outcome = shk_train_step(&t->train, &b, worker, workers);
        if (worker == 0 && outcome == SHK_STEP_DONE) end_step(r, &b);
        if (worker == 0 && outcome != SHK_STEP_DONE && outcome != SHK_STEP_CANCELLED) r->failure = outcome;
        if (outcome != SHK_STEP_DONE) return;
    }
}

static void evaluate_epoch(struct run *r, unsigned worker, unsigned workers) {
    shk_engine_enter(&r->trainer->test, worker);
    shk_forward(&r->trainer->test, &r->test, worker, workers);
}

static bool is_better(const struct shk_metrics *a, const struct shk_best *than) {
    if (than->epoch == 0 || a->accuracy != than->test.accuracy)
        return than->epoch == 0 || a->accuracy > than->test.accuracy;
    return a->loss < than->test.loss || (isnan(than->test.loss) && !isnan(a->loss));
}

static bool keep_best(struct run *r, const struct shk_metrics *test) {
    struct shk_trainer *t = r->trainer;
    if (!is_better(test, &t->best)) return false;
    t->best = (struct shk_best){t->position.epoch, *test};
    if (!t->best_weights) {
        t->best_weights = r->spare_weights;
        r->spare_weights = NULL;
    }
    memcpy(t->best_weights, t->model->weights, t->model->weight_floats * sizeof(float));
    return true;
}

static void end_epoch(struct run *r) {
    struct shk_trainer *t = r->trainer;
    t->position = (struct shk_position){t->position.epoch + 1, 0};
    struct shk_epoch e = {.epoch = t->position.epoch,
                          .train_loss = shk_mean_loss(r->train.loss, r->train.n),
                          .test = {NAN, NAN},
                          .train_seconds = t->seconds,
                          .samples_per_second = (double)r->train.n / t->seconds};
    t->seconds = 0;
    if (r->test.data) {
        e.test = shk_metrics_of(&r->test);
        e.best = keep_best(r, &e.test);
    }
    r->stop = r->callbacks.on_epoch && !r->callbacks.on_epoch(&e, r->callbacks.user);
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
    while (t->position.epoch < r->epochs && !r->stop) {
        double start = 0;
        if (worker == 0) {
            start = shk_seconds();
            shk_shuffle(r->order, r->train.n, t->options.seed, (uint32_t)t->position.epoch);
        }
        shk_barrier_wait(barrier, workers, t->test.spin);
        if (worker < active) train_epoch(r, worker, active);
        if (worker == 0) t->seconds += shk_seconds() - start;
        shk_barrier_wait(barrier, workers, t->test.spin);
        if (r->failure || r->ended) break;
        if (r->test.data) evaluate_epoch(r, worker, workers);
        if (worker == 0) end_epoch(r);
        shk_barrier_wait(barrier, workers, t->test.spin);
    }
    shk_fpenv_leave(&saved);
}

// The optimizer's state may be of no use, and starts anew with the weights that are set next.
static bool end_in_failure(struct run *r, struct shk_error *err) {
    struct shk_trainer *t = r->trainer;
    struct shk_batch b = batch_at(r, t->position.step * t->options.batch);
    shk_explain_failure(t, &b, r->failure, err);
    shk_model_damage(t->model, t->position.epoch + 1, t->position.step + 1);
    shk_engine_forget(&t->train);
    return false;
}

static bool run_training(struct run *r, struct shk_error *err) {
    struct shk_trainer *t = r->trainer;
    const struct shk_team team = shk_team_for(&t->runtime->team, shk_train_shards(&t->options));
    shk_engine_start(&t->train);
    team.run(&team, train_worker, r);
    return !r->failure || end_in_failure(r, err);
}

// The data with which an epoch was begun.
static bool same_data(const struct shk_trainer *t, const struct shk_dataset *train, struct shk_error *err) {
    if (t->samples != train->n)
        return shk_fail(err, SHK_BAD_INPUT, "epoch %zu was begun with %zu samples, but goes on with %zu",
                        t->position.epoch + 1, t->samples, train->n);
    if (t->data_hash && t->data_hash != shk_dataset_hash(train))
        return shk_fail(err, SHK_BAD_INPUT,
                        "epoch %zu was begun with other samples of that number: it goes on with the same images and "
                        "labels in the same order, and the next one may have others",
                        t->position.epoch + 1);
    return true;
}

// The same data as before, where an epoch goes on; else place for any other.
static bool set_data(struct shk_trainer *t, const struct shk_dataset *train, struct shk_error *err) {
    if (t->position.step) return same_data(t, train, err);
    t->data_hash = 0;
    return t->samples == train->n || shk_trainer_set_samples(t, train->n, err);
}

// What a model's files say about its input is what its training data are.
static bool take_input(struct shk_model *m, const struct shk_dataset *d, struct shk_error *err) {
    struct shk_names names;
    if (!shk_names_copy(&names, &d->names, err)) return false;
    shk_names_free(&m->input.names);
    m->input = (struct shk_input){d->prepared, names};
    return true;
}

// A batch normalisation that sees one value of a channel makes 0 of it, whatever it is.
static bool batches_suffice(const struct shk_trainer *t, size_t n, struct shk_error *err) {
    const size_t batch = t->options.batch < n ? t->options.batch : n;
    const struct shk_graph *g = &t->model->graph;
    for (unsigned i = 0; i < g->count; i++) {
        const struct shk_layer *l = &g->layers[i];
        if (!(shk_layer_flags(l->kind) & SHK_RUNNING) || l->out.h * l->out.w > 1 || (batch > 1 && n % batch != 1))
            continue;
        return shk_fail(err, SHK_BAD_INPUT,
                        "the batch normalisation %s would see one value of each channel, in %s batch of one sample: "
                        "%zu samples want another batch size than %zu",
                        l->name, batch == 1 ? "each" : "the last", n, t->options.batch);
    }
    return true;
}

bool shk_train(struct shk_trainer *t, const struct shk_dataset *train, const struct shk_dataset *test, size_t epochs,
               const struct shk_callbacks *callbacks, struct shk_error *err) {
    if (!shk_shapes_agree(t->model, train, err) || (test && !shk_shapes_agree(t->model, test, err))) return false;
    if (!shk_model_trainable(t->model, err) || !batches_suffice(t, train->n, err) || !set_data(t, train, err) ||
        !take_input(t->model, train, err))
        return false;
    struct run r = {.trainer = t, .epochs = epochs};
    if (callbacks) r.callbacks = *callbacks;
    r.train = (struct shk_batch){.data = train, .n = train->n, .loss = t->losses};
    r.train.predicted = shk_alloc(train->n, sizeof *r.train.predicted, "predictions", err);
    r.test = (struct shk_batch){.data = test, .n = test ? test->n : 1};
    r.order = shk_alloc(train->n, sizeof *r.order, "the order of samples", err);
    bool ok = r.order && r.train.predicted && shk_results_alloc(&r.test, err);
    if (ok && test && !t->best_weights) {
        r.spare_weights = shk_alloc(t->model->weight_floats, sizeof(float), "the best weights", err);
        ok = r.spare_weights;
    }
    ok = ok && run_training(&r, err);
    if (t->position.step && !t->data_hash) t->data_hash = shk_dataset_hash(train);
    shk_free(r.order);
    shk_free(r.spare_weights);
    shk_free(r.train.predicted);
    shk_results_free(&r.test);
    return ok;
}
